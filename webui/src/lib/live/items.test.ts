import { describe, expect, it } from 'vitest';

import { Items } from './items.svelte.ts';

describe('Items', () => {
  it('sorts names as people do', () => {
    const items = new Items<number>();
    items.take(Object.entries({ fan10: 1, fan2: 2, cpu: 3 }), false);
    expect(items.names).toEqual(['cpu', 'fan2', 'fan10']);
    expect(items.all).toEqual([3, 2, 1]);
  });

  it('drops what a whole snapshot does not name any more, and nothing earlier', () => {
    const items = new Items<number>();
    items.take([['a', 1], ['b', 2]], true);
    items.settle();
    items.take([['a', 3]], true);
    expect(items.names).toEqual(['a', 'b']);
    items.take([['c', 4]], true);
    items.take([['a', 5]], false);
    expect(items.names).toEqual(['a', 'c']);
    expect(items.get('a')).toBe(5);
    expect(items.get('b')).toBeUndefined();
  });

  it('drops nothing after a catch-up by cursor', () => {
    const items = new Items<number>();
    items.take([['a', 1], ['b', 2]], true);
    items.settle();
    items.take([['a', 3]], false);
    items.settle();
    expect(items.names).toEqual(['a', 'b']);
  });
});
