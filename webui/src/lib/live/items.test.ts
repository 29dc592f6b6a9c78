import { describe, expect, it } from 'vitest';

import { Items } from './items.svelte.ts';

const CHANGE = { snapshot: false, complete: true };
const PART = { snapshot: true, complete: false };
const LAST = { snapshot: true, complete: true };

describe('Items', () => {
  it('sorts names as people do', () => {
    const items = new Items<number>();
    items.take(Object.entries({ fan10: 1, fan2: 2, cpu: 3 }), CHANGE);
    expect(items.names).toEqual(['cpu', 'fan2', 'fan10']);
    expect(items.all).toEqual([3, 2, 1]);
  });

  it('drops what a whole snapshot does not name any more, and nothing earlier', () => {
    const items = new Items<number>();
    items.take([['a', 1], ['b', 2]], LAST);
    items.take([['a', 3]], PART);
    expect(items.names).toEqual(['a', 'b']);
    items.take([['c', 4]], LAST);
    expect(items.names).toEqual(['a', 'c']);
    items.take([['a', 5]], CHANGE);
    expect(items.names).toEqual(['a', 'c']);
    expect(items.get('a')).toBe(5);
    expect(items.get('b')).toBeUndefined();
  });

  it('forgets what a snapshot named that was broken off', () => {
    const items = new Items<number>();
    items.take([['a', 1], ['b', 2]], LAST);
    items.take([['a', 3]], PART);
    items.again();
    items.take([['b', 4]], LAST);
    expect(items.names).toEqual(['b']);
  });

  it('drops nothing after a catch-up by cursor', () => {
    const items = new Items<number>();
    items.take([['a', 1], ['b', 2]], LAST);
    items.take([['a', 3]], { snapshot: false, complete: false });
    items.take([['a', 4]], CHANGE);
    expect(items.names).toEqual(['a', 'b']);
  });
});
