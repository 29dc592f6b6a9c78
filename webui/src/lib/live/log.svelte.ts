/** The last events, and news of each new one: a list that is read once, and a watch that goes on behind it. */
import { Code, ConnectError } from '@connectrpc/connect';

import type { events } from '../api.ts';
import type { Event, WatchEventsResponse } from '../gen/ubmc/v1alpha1/event_pb.ts';
import { newestFirst } from './newest.svelte.ts';

/** So many of the last events are kept here. */
export const KEPT = 200;
const READ = 50;

/** Where the list comes from; tests give another one. */
export type Listing = Pick<typeof events, 'listEvents'>;

export class EventLog {
  /** The newest first. */
  recent = $state.raw<readonly Event[]>([]);
  /** They were read: none there are none. */
  known = $state(false);
  readonly #service: Listing;
  #listeners = new Set<(event: Event) => void>();
  #beginners = new Set<() => void>();
  /** Behind what the watch told last. */
  #cursor = '';
  #unread = false;
  /** How many readings were begun; the last one counts. */
  #turn = 0;
  /** What came while the list is read, which may be older. */
  #fresh: Event[] | undefined;

  constructor(service: Listing) {
    this.#service = service;
  }

  /** Calls `listener` with each new event; gives the way to stop that: `$effect(() => live.events.on(...))`. */
  on(listener: (event: Event) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls `listener` when the watch begins elsewhere than it was: what was read before may lack events. As `on` else. */
  onBegin(listener: () => void): () => void {
    this.#beginners.add(listener);
    return () => this.#beginners.delete(listener);
  }

  start(): void {
    // also when the log is read before the watch says where it begins: what comes twice is kept once
    void this.reread();
  }

  reset(): void {
    this.#turn++;
    this.#fresh = undefined;
    this.#cursor = '';
    this.recent = [];
    this.known = false;
  }

  /** Reads the last events again, as after the log was cleared. */
  async reread(): Promise<void> {
    const turn = ++this.#turn;
    this.#fresh = [];
    this.#unread = false;
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

  /** Takes in what the watch tells. */
  take({ event, cursor }: WatchEventsResponse): void {
    // one that goes on where it was tells all that was missed
    const goesOn = cursor === this.#cursor;
    this.#cursor = cursor;
    if (this.#unread || (!event && !goesOn)) void this.reread();
    if (event) this.#tell(event);
    else if (!goesOn) for (const listener of [...this.#beginners]) listener();
  }

  #tell(event: Event): void {
    if (event.messageId === 'EventLog.Cleared') void this.reread();
    this.#fresh?.push(event);
    this.recent = newestFirst(this.recent, [event], KEPT);
    for (const listener of [...this.#listeners]) listener(event);
  }
}
