import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { flushSync } from 'svelte';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { ListEventsResponseSchema, EventSchema, type Event } from '#lib/gen/ubmc/v1alpha1/event_pb.ts';
import { FakeLink } from '#lib/live/back.fake.ts';

import { EVERYTHING } from './filter.ts';
import { EventView, type Log } from './view.svelte.ts';

const PAGE = 50;
const event = (id: number, component = 'host.0', messageId = 'Host.News'): Event =>
  create(EventSchema, { id: BigInt(id), component, messageId });

/** An event log that this test writes. */
class Fake implements Log {
  link = new FakeLink();
  written: Event[] = [];
  down = false;
  /** Answers wait for the test. */
  held: (() => void)[] | undefined;
  begin: () => void = () => undefined;

  list: Log['list'] = async (request) => {
    const { filter, pageToken } = request as { filter?: { component?: string }; pageToken?: string };
    const all = this.written.filter((each) => !filter?.component || each.component === filter.component).reverse();
    const from = Number(pageToken || 0);
    const { down } = this;
    if (this.held) await new Promise<void>((resolve) => this.held?.push(resolve));
    if (down) throw new ConnectError('Failed to fetch', Code.Unknown);
    const nextPageToken = from + PAGE < all.length ? String(from + PAGE) : '';
    return create(ListEventsResponseSchema, { events: all.slice(from, from + PAGE), nextPageToken });
  };

  onBegin(listener: () => void): () => void {
    this.begin = listener;
    return () => (this.begin = () => undefined);
  }

  write(from: number, to: number = from): void {
    for (let id = from; id <= to; id++) this.written.push(event(id));
  }
}

describe('EventView', () => {
  let log: Fake;
  let view: EventView;
  let stop: () => void;

  beforeEach(() => {
    vi.useFakeTimers();
    log = new Fake();
    stop = $effect.root(() => {
      view = new EventView(log);
    });
    flushSync();
  });
  afterEach(() => {
    stop();
    vi.useRealTimers();
  });

  const ids = (): number[] => view.list.map((each) => Number(each.id));
  const soon = (): Promise<unknown> => vi.advanceTimersByTimeAsync(1);

  it('shows the newest first, and older ones when asked', async () => {
    log.write(1, 120);
    await view.show(EVERYTHING);
    expect([ids()[0], ids().length, view.more]).toEqual([120, 50, true]);
    await view.older();
    await view.older();
    expect([ids().length, ids().at(-1), view.more]).toEqual([120, 1, false]);
  });

  it('takes in what comes, once, also while it reads', async () => {
    log.write(1, 3);
    log.held = [];
    const shown = view.show(EVERYTHING);
    view.take(event(4));
    log.held.splice(0).forEach((answer) => answer());
    await shown;
    expect(ids()).toEqual([4, 3, 2, 1]);
    log.held = undefined;
    view.take(event(4));
    view.take(event(5, 'bmc'));
    expect(ids()).toEqual([5, 4, 3, 2, 1]);
  });

  it('shows only what is wanted', async () => {
    log.written = [event(1), event(2, 'bmc')];
    await view.show({ ...EVERYTHING, component: 'bmc' });
    view.take(event(3));
    view.take(event(4, 'bmc'));
    expect(ids()).toEqual([4, 2]);
  });

  it('that was opened while nobody answered fills itself when the BMC is back', async () => {
    log.write(1, 3);
    log.down = true;
    log.link.up = false;
    await view.show(EVERYTHING);
    expect([view.problem?.message, ids()]).toEqual(['Failed to fetch', []]);
    view.take(event(4)); // what comes later is no reason to leave out what was before
    log.write(4);
    log.down = false;
    log.link.back();
    await soon();
    expect([view.problem, ids()]).toEqual([undefined, [4, 3, 2, 1]]);
  });

  it('reads what came between the reading and the beginning of the watch', async () => {
    log.write(1, 2);
    await view.show(EVERYTHING);
    log.write(3);
    log.begin();
    await soon();
    expect(ids()).toEqual([3, 2, 1]);
  });

  it('keeps older ones that were asked for when it catches up', async () => {
    log.write(1, 120);
    await view.show(EVERYTHING);
    await view.older();
    log.write(121, 130);
    log.link.back();
    await soon();
    expect([ids()[0], ids().length, view.more]).toEqual([130, 110, true]);
    await view.older();
    expect([ids().length, ids().at(-1)]).toEqual([130, 1]);
  });

  it('has no hole when more came than one page has', async () => {
    log.write(1, 60);
    await view.show(EVERYTHING);
    log.write(61, 200);
    log.link.back();
    await soon();
    expect([ids()[0], ids().length, view.more]).toEqual([200, 50, true]);
    await view.older();
    expect(ids()).toEqual(Array.from({ length: 100 }, (_, index) => 200 - index));
  });

  it('begins anew when the log was cleared, seen or not', async () => {
    log.write(1, 70);
    await view.show(EVERYTHING);
    log.written = [event(71, 'eventlog', 'EventLog.Cleared')];
    view.take(event(71, 'eventlog', 'EventLog.Cleared'));
    await soon();
    expect(ids()).toEqual([71]);
    log.written = [event(72, 'eventlog', 'EventLog.Cleared')];
    log.link.back();
    await soon();
    expect(ids()).toEqual([72]);
  });

  it('never mixes in what was wanted before', async () => {
    log.written = [event(1), event(2, 'bmc')];
    await view.show(EVERYTHING);
    log.down = true;
    log.link.up = false;
    await view.show({ ...EVERYTHING, component: 'bmc' });
    log.down = false;
    log.link.back();
    await soon();
    expect(ids()).toEqual([2]);
  });

  it('asks for nothing before it is told what is wanted', async () => {
    log.write(1);
    log.begin();
    log.link.back();
    await soon();
    expect(ids()).toEqual([]);
  });
});
