// Before the first paint: the theme that was chosen here, else that of the system.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem('ubmc-theme');
  } catch {
    // storage can be forbidden; then the system decides
  }
  const dark = chosen === 'dark' || (chosen !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
})();
