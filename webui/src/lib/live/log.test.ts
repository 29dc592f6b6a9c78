import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import {
  EventSchema,
  ListEventsResponseSchema,
  WatchEventsResponseSchema,
  type Event,
} from '../gen/ubmc/v1alpha1/event_pb.ts';
import { EventLog, KEPT, type Listing } from './log.svelte.ts';
import { newestFirst } from './newest.svelte.ts';

const event = (id: number, messageId = 'Host.News'): Event => create(EventSchema, { id: BigInt(id), messageId });

/** An event log that this test writes and tells of. */
class Fake {
  written: Event[] = [];
  error: Error | undefined;
  held: (() => void)[] | undefined;

  service: Listing = {
    listEvents: async () => {
      const found = [...this.written].reverse();
      const { error } = this;
      if (this.held) await new Promise<void>((resolve) => this.held?.push(resolve));
      if (error) throw error;
      return create(ListEventsResponseSchema, { events: found });
    },
  };
}

/** As the watch tells it: an event, or where it begins. */
async function tell(log: EventLog, told: Event | undefined, cursor = `e:${told?.id ?? 0}`): Promise<void> {
  log.take(create(WatchEventsResponseSchema, { event: told, cursor }));
  await vi.advanceTimersByTimeAsync(1);
}

describe('EventLog', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const ids = (log: EventLog): number[] => log.recent.map((each) => Number(each.id));

  async function begun(prepare: (fake: Fake) => void = () => undefined): Promise<[Fake, EventLog]> {
    const fake = new Fake();
    prepare(fake);
    const log = new EventLog(fake.service);
    log.start();
    await vi.advanceTimersByTimeAsync(1);
    return [fake, log];
  }

  it('reads the last events, and tells each new one', async () => {
    const [, log] = await begun((each) => (each.written = [event(1), event(2)]));
    const told = vi.fn();
    log.on(told);
    await tell(log, event(3));
    expect(ids(log)).toEqual([3, 2, 1]);
    expect(told).toHaveBeenCalledTimes(1);
    log.reset();
    expect([ids(log), log.known]).toEqual([[], false]);
  });

  it('does not take an unread log for an empty one', async () => {
    const [fake, log] = await begun((each) => (each.error = new ConnectError('away', Code.Unavailable)));
    expect(log.known).toBe(false);
    fake.error = undefined;
    await tell(log, undefined);
    expect([log.known, ids(log)]).toEqual([true, []]);
    log.reset();
  });

  it('reads again, and tells it, when the watch says where it begins', async () => {
    const [fake, log] = await begun((each) => (each.written = [event(1)]));
    const begins = vi.fn();
    log.onBegin(begins);
    fake.written.push(event(2));
    await tell(log, undefined);
    expect(begins).toHaveBeenCalledTimes(1);
    expect(ids(log)).toEqual([2, 1]);
    await tell(log, event(3));
    expect(begins).toHaveBeenCalledTimes(1);
    log.reset();
  });

  it('reads nothing again when the watch goes on where it was, and all of it when that is another log', async () => {
    const [fake, log] = await begun((each) => (each.written = [event(1)]));
    const begins = vi.fn();
    await tell(log, undefined);
    await tell(log, event(2));
    log.onBegin(begins);
    fake.written = [event(9)];
    await tell(log, undefined, 'e:2');
    await tell(log, event(3));
    expect([ids(log), begins.mock.calls.length]).toEqual([[3, 2, 1], 0]);
    await tell(log, undefined, 'f:0');
    expect([ids(log), begins.mock.calls.length]).toEqual([[9], 1]);
    log.reset();
  });

  it('loses nothing that comes while it reads', async () => {
    const [fake, log] = await begun((each) => {
      each.written = [event(1)];
      each.held = [];
    });
    await tell(log, event(2));
    fake.held?.splice(0).forEach((answer) => answer());
    await vi.advanceTimersByTimeAsync(1);
    expect(ids(log)).toEqual([2, 1]);
    log.reset();
  });

  it('forgets what was cleared', async () => {
    const [fake, log] = await begun((each) => (each.written = [event(1), event(2)]));
    fake.written = [event(3, 'EventLog.Cleared')];
    await tell(log, event(3, 'EventLog.Cleared'));
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
