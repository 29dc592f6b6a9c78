// Everything happens in the browser: the BMC serves files and its API, and renders nothing.
export const ssr = false;
export const prerender = false;
