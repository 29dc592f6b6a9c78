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

  // by the names of the services in docs/roadmap.md
  test.each([
    ['/console', 'consolesrv'],
    ['/screen', 'kvmsrv'],
    ['/media', 'kvmsrv'],
    ['/updates', 'updatemgr'],
  ])('%s is there only with %s', (path, service) => {
    expect(entries.find((each) => each.path === path)?.service).toBe(service);
  });
});
