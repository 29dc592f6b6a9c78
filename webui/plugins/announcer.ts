import type { Plugin } from 'vite';

const STYLE = /style="position: absolute; left: 0; top: 0; clip: [^"]*"/;

/**
 * SvelteKit hides its announcer of page titles by a style attribute, which our Content-Security-Policy refuses, as it
 * does every style that is no file. A class does the same.
 */
export function announcer(): Plugin {
  return {
    name: 'ubmc-announcer',
    enforce: 'pre',
    transform: {
      filter: { id: /kit\/src\/runtime\/components\/root\.svelte$/ },
      handler(code) {
        if (!STYLE.test(code)) this.error('SvelteKit has another announcer now; see plugins/announcer.ts');
        return { code: code.replace(STYLE, 'class="sr-only"'), map: null };
      },
    },
  };
}
