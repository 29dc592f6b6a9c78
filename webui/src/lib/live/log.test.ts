import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import {
  EventSchema,
  ListEventsResponseSchema,
  WatchEventsResponseSchema,
  type Event,
  type WatchEventsResponse,
} from '../gen/ubmc/v1alpha1/event_pb.ts';
import { EventLog, KEPT, type Service } from './log.svelte.ts';
import { newestFirst } from './newest.svelte.ts';

const event = (id: number, messageId = 'Host.News'): Event => create(EventSchema, { id: BigInt(id), messageId });
const link = {
  reached: () => Promise.resolve(),
  heard: () => undefined,
  onDead: () => () => undefined,
};

/** An event log that this test writes and tells of. */
class Fake {
  written: Event[] = [];
  error: Error | undefined;
  held: (() => void)[] | undefined;
  #feed: ((update: WatchEventsResponse) => void) | undefined;

  service: Service = {
    listEvents: async () => {
      const found = [...this.written].reverse();
      const { error } = this;
      if (this.held) await new Promise<void>((resolve) => this.held?.push(resolve));
      if (error) throw error;
      return create(ListEventsResponseSchema, { events: found });
    },
    watchEvents: (_request, options) => this.#watch(options?.signal),
  };

  async tell(told: Event | undefined): Promise<void> {
    this.#feed?.(create(WatchEventsResponseSchema, { event: told, cursor: `e:${told?.id ?? 0}` }));
    await vi.advanceTimersByTimeAsync(1);
  }

  async *#watch(signal: AbortSignal | undefined): AsyncGenerator<WatchEventsResponse> {
    for (;;) {
      yield await new Promise<WatchEventsResponse>((resolve, reject) => {
        this.#feed = resolve;
        signal?.addEventListener('abort', () => reject(new ConnectError('aborted', Code.Canceled)));
      });
    }
  }
}

describe('EventLog', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const ids = (log: EventLog): number[] => log.recent.map((each) => Number(each.id));

  async function begun(prepare: (fake: Fake) => void = () => undefined): Promise<[Fake, EventLog]> {
    const fake = new Fake();
    prepare(fake);
    const log = new EventLog(link, fake.service);
    log.start();
    await vi.advanceTimersByTimeAsync(1);
    return [fake, log];
  }

  it('reads the last events, and tells each new one', async () => {
    const [fake, log] = await begun((each) => (each.written = [event(1), event(2)]));
    const told = vi.fn();
    log.on(told);
    await fake.tell(event(3));
    expect(ids(log)).toEqual([3, 2, 1]);
    expect(told).toHaveBeenCalledTimes(1);
    log.reset();
    expect([ids(log), log.known]).toEqual([[], false]);
  });

  it('does not take an unread log for an empty one', async () => {
    const [fake, log] = await begun((each) => (each.error = new ConnectError('away', Code.Unavailable)));
    expect(log.known).toBe(false);
    fake.error = undefined;
    await fake.tell(undefined);
    expect([log.known, ids(log)]).toEqual([true, []]);
    log.reset();
  });

  it('reads again, and tells it, when the watch says where it begins', async () => {
    const [fake, log] = await begun((each) => (each.written = [event(1)]));
    const begins = vi.fn();
    log.onBegin(begins);
    fake.written.push(event(2));
    await fake.tell(undefined);
    expect(begins).toHaveBeenCalledTimes(1);
    expect(ids(log)).toEqual([2, 1]);
    await fake.tell(event(3));
    expect(begins).toHaveBeenCalledTimes(1);
    log.reset();
  });

  it('loses nothing that comes while it reads', async () => {
    const [fake, log] = await begun((each) => {
      each.written = [event(1)];
      each.held = [];
    });
    await fake.tell(event(2));
    fake.held?.splice(0).forEach((answer) => answer());
    await vi.advanceTimersByTimeAsync(1);
    expect(ids(log)).toEqual([2, 1]);
    log.reset();
  });

  it('forgets what was cleared', async () => {
    const [fake, log] = await begun((each) => (each.written = [event(1), event(2)]));
    fake.written = [event(3, 'EventLog.Cleared')];
    await fake.tell(event(3, 'EventLog.Cleared'));
    expect(ids(log)).toEqual([3]);
    log.reset();
  });
});

describe('newestFirst', () => {
  it('keeps each event once, the newest first, and a bounded number', () => {
    const both = newestFirst([event(2), event(1)], [event(3), event(2)], KEPT);
    expect(both.map((each) => Number(each.id))).toEqual([3, 2, 1]);
    const many = Array.from({ length: KEPT + 50 }, (_, index) => event(index + 1));
    expect(newestFirst([], many, KEPT)).toHaveLength(KEPT);
    expect(newestFirst([], many, KEPT)[0]?.id).toBe(BigInt(KEPT + 50));
  });
});
