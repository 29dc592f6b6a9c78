// How the web UI is built: one set of static files, all routes in the browser, no inline code but SvelteKit's start.
import adapter from '@sveltejs/adapter-static';
import { sveltekit } from '@sveltejs/kit/vite';
import tailwindcss from '@tailwindcss/vite';
import { defineConfig } from 'vitest/config';

import { announcer } from './plugins/announcer.ts';
import { licences } from './plugins/licences.ts';

const board = process.env.UBMC_URL ?? 'https://127.0.0.1:8443';
const forwarded = { target: board, secure: false, changeOrigin: true, ws: true, headers: { origin: board } };

export default defineConfig({
  plugins: [
    announcer(),
    tailwindcss(),
    sveltekit({
      adapter: adapter({
        pages: process.env.UBMC_WEBUI_OUT ?? 'build',
        fallback: 'index.html',
        precompress: true,
      }),
      paths: { relative: false },
      version: { name: process.env.UBMC_WEBUI_VERSION ?? 'dev' },
    }),
    licences(),
  ],
  build: { target: 'es2022', assetsInlineLimit: 0 },
  server: {
    host: '127.0.0.1',
    // `make webui-dev`: the pages come from here, everything else from a board that runs
    proxy: { '/ubmc.v1alpha1': forwarded, '/api': forwarded, '/redfish': forwarded, '/metrics': forwarded },
  },
  // the pages' own Svelte, that of browsers, runs in the tests too
  resolve: process.env.VITEST ? { conditions: ['browser'] } : {},
  test: { include: ['src/**/*.test.ts'], environment: './plugins/browserless.ts' },
});
