/** The last events, and news of each new one: a list that is read once, and a watch that goes on behind it. */
import { Code, ConnectError } from '@connectrpc/connect';

import { events } from '../api.ts';
import type { Event, WatchEventsResponse } from '../gen/ubmc/v1alpha1/event_pb.ts';
import { Stream, type Reach } from './stream.ts';

/** So many of the last events are kept here. */
export const KEPT = 200;
const READ = 50;

/** Events of both lists, each once, the newest first. */
export function merged(known: readonly Event[], more: readonly Event[]): Event[] {
  const all = new Map([...known, ...more].map((each) => [each.id, each]));
  return [...all.values()].sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, KEPT);
}

export class EventLog {
  /** The newest first. */
  recent = $state.raw<readonly Event[]>([]);
  open = $state(false);
  #stream: Stream<WatchEventsResponse>;
  #listeners = new Set<(event: Event) => void>();

  constructor(link: Reach) {
    this.#stream = new Stream<WatchEventsResponse>(
      {
        open: (cursor, signal) => events.watchEvents({ cursor }, { signal, timeoutMs: 0 }),
        take: (update) => this.#take(update),
        tell: (state) => {
          if (this.open !== state.open) this.open = state.open;
        },
      },
      link,
    );
  }

  /** Calls `listener` with each new event; gives the way to stop that: `$effect(() => live.events.on(...))`. */
  on(listener: (event: Event) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  start(): void {
    this.#stream.start();
    // also when the log is read before the watch says where it begins: what comes twice is kept once
    void this.reread();
  }

  reset(): void {
    this.#stream.stop();
    this.#stream.forget();
    this.recent = [];
    this.open = false;
  }

  /** Reads the last events again, as after the log was cleared. */
  async reread(): Promise<void> {
    try {
      const { events: last } = await events.listEvents({ newestFirst: true, pageSize: READ });
      this.recent = merged([], last);
    } catch (error) {
      // without the link the stream comes back by itself, and the list is asked for again then
      if (ConnectError.from(error).code !== Code.Unauthenticated) this.#unread = true;
    }
  }

  #unread = false;

  #take(update: WatchEventsResponse): string {
    const { event } = update;
    if (this.#unread || !event) {
      this.#unread = false;
      void this.reread();
    }
    if (event) {
      if (event.messageId === 'EventLog.Cleared') void this.reread();
      this.recent = merged(this.recent, [event]);
      for (const listener of [...this.#listeners]) listener(event);
    }
    return update.cursor;
  }
}
