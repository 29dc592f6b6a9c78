import { describe, expect, it } from 'vitest';

import { EventSchema, type Event } from '../gen/ubmc/v1alpha1/event_pb.ts';
import { create } from '@bufbuild/protobuf';
import { Items } from './items.svelte.ts';
import { KEPT, merged } from './log.svelte.ts';

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

describe('merged', () => {
  const event = (id: number): Event => create(EventSchema, { id: BigInt(id) });

  it('keeps each event once, the newest first, and a bounded number', () => {
    expect(merged([event(2), event(1)], [event(3), event(2)]).map((each) => Number(each.id))).toEqual([3, 2, 1]);
    const many = Array.from({ length: KEPT + 50 }, (_, index) => event(index + 1));
    expect(merged([], many)).toHaveLength(KEPT);
    expect(merged([], many)[0]?.id).toBe(BigInt(KEPT + 50));
  });
});
