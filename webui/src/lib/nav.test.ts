import { describe, expect, test } from 'vitest';

import { ui } from './i18n/ui.ts';
import { NAVIGATION } from './nav.ts';

const entries = NAVIGATION.flatMap((group) => group.entries);
// every page behind the login, by its address
const pages = new Set(
  Object.keys(import.meta.glob('../routes/**/+page.svelte')).flatMap((file) => {
    const found = /\(app\)(.*)\/\+page\.svelte$/.exec(file);
    return found ? [found[1] || '/'] : [];
  }),
);

describe('the menu', () => {
  test.each(entries.map((each) => [each.path, each] as const))('%s leads to a page and has a name', (path, entry) => {
    expect(pages).toContain(path);
    expect(ui.languages.en).toHaveProperty(entry.label);
  });

  test('every area of pages is in it', () => {
    const areas = [...pages].map((path) => `/${path.split('/')[1] ?? ''}`);
    expect(new Set(areas)).toEqual(new Set(entries.map((each) => each.path)));
  });

  test.each(['/screen', '/media', '/updates', '/console'])('%s is there only with its service', (path) => {
    expect(entries.find((each) => each.path === path)?.service).toMatch(/^[a-z]+$/);
  });
});
