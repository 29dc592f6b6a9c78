/** The last events, and news of each new one: a list that is read once, and a watch that goes on behind it. */
import { Code, ConnectError } from '@connectrpc/connect';

import { events } from '../api.ts';
import type { Event, WatchEventsResponse } from '../gen/ubmc/v1alpha1/event_pb.ts';
import { newestFirst } from './newest.svelte.ts';
import { Stream, type Reach } from './stream.ts';

/** So many of the last events are kept here. */
export const KEPT = 200;
const READ = 50;

/** Where events come from; tests give another one. */
export type Service = Pick<typeof events, 'watchEvents' | 'listEvents'>;

export class EventLog {
  /** The newest first. */
  recent = $state.raw<readonly Event[]>([]);
  /** They were read: none there are none. */
  known = $state(false);
  open = $state(false);
  readonly #service: Service;
  readonly #stream: Stream<WatchEventsResponse>;
  #listeners = new Set<(event: Event) => void>();
  #beginners = new Set<() => void>();
  #unread = false;
  /** How many readings were begun; the last one counts. */
  #turn = 0;
  /** What came while the list is read, which may be older. */
  #fresh: Event[] | undefined;

  constructor(link: Reach, service: Service = events) {
    this.#service = service;
    this.#stream = new Stream<WatchEventsResponse>(
      {
        open: (cursor, signal) => service.watchEvents({ cursor }, { signal, timeoutMs: 0 }),
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

  /** Calls `listener` whenever the watch begins or goes on: what was read before may lack events. As `on` else. */
  onBegin(listener: () => void): () => void {
    this.#beginners.add(listener);
    return () => this.#beginners.delete(listener);
  }

  start(): void {
    this.#stream.start();
    // also when the log is read before the watch says where it begins: what comes twice is kept once
    void this.reread();
  }

  reset(): void {
    this.#stream.stop();
    this.#stream.forget();
    this.#turn++;
    this.#fresh = undefined;
    this.recent = [];
    this.known = false;
    this.open = false;
  }

  /** Reads the last events again, as after the log was cleared. */
  async reread(): Promise<void> {
    const turn = ++this.#turn;
    this.#fresh = [];
    try {
      const { events: last } = await this.#service.listEvents({ newestFirst: true, pageSize: READ });
      if (turn !== this.#turn) return;
      this.recent = newestFirst(this.#fresh ?? [], last, KEPT);
      this.known = true;
    } catch (error) {
      // without the link the stream comes back by itself, and the list is asked for again then
      if (turn === this.#turn && ConnectError.from(error).code !== Code.Unauthenticated) this.#unread = true;
    }
    if (turn === this.#turn) this.#fresh = undefined;
  }

  #take(update: WatchEventsResponse): string {
    const { event } = update;
    if (this.#unread || !event) {
      this.#unread = false;
      void this.reread();
    }
    if (!event) for (const listener of [...this.#beginners]) listener();
    else {
      if (event.messageId === 'EventLog.Cleared') void this.reread();
      this.#fresh?.push(event);
      this.recent = newestFirst(this.recent, [event], KEPT);
      for (const listener of [...this.#listeners]) listener(event);
    }
    return update.cursor;
  }
}
