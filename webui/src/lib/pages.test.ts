import { expect, test } from 'vitest';

import { everyPage } from './pages.ts';

test('all pages are read, one after the other, until there is none behind', async () => {
  const asked: string[] = [];
  const pages: Record<string, { items: number[]; nextPageToken: string }> = {
    '': { items: [1, 2], nextPageToken: 'b' },
    b: { items: [], nextPageToken: 'c' },
    c: { items: [3], nextPageToken: '' },
  };
  const all = await everyPage(
    async (token) => {
      asked.push(token);
      return pages[token] ?? { items: [], nextPageToken: '' };
    },
    (page) => page.items,
  );
  expect(all).toEqual([1, 2, 3]);
  expect(asked).toEqual(['', 'b', 'c']);
});
