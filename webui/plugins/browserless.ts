import type { Environment } from 'vitest/runtime';

/**
 * Where unit tests run: modules are compiled as for a browser, so that state is as reactive as on the pages, but there is
 * no document.
 */
export default {
  name: 'browserless',
  viteEnvironment: 'client',
  setup: () => ({ teardown: () => undefined }),
} satisfies Environment;
