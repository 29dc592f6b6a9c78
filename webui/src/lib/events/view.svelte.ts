/** The part of the event log that a page shows, and new events as they come. */
import { events } from '#lib/api.ts';
import type { Event } from '#lib/gen/ubmc/v1alpha1/event_pb.ts';
import type { Back } from '#lib/live/keeper.svelte.ts';
import { live } from '#lib/live/live.ts';
import { Newest, type Part } from '#lib/live/newest.svelte.ts';
import { everyPage } from '#lib/pages.ts';

import { EVERYTHING, matches, toFilter, type Wanted } from './filter.ts';

const PAGE = 50;
const EXPORT_PAGE = 1000;
/** So many events are kept in the page; beyond that a filter helps more than scrolling. */
export const MOST = 2000;

/** Where events come from; tests give another one. */
export interface Log {
  list: typeof events.listEvents;
  onBegin(listener: () => void): () => void;
  link?: Back;
}

const BMC: Log = {
  list: (request) => events.listEvents(request),
  onBegin: (listener) => live.events.onBegin(listener),
};

export class EventView extends Newest<Event> {
  #wanted: Wanted = EVERYTHING;
  readonly #log: Log;

  constructor(log: Log = BMC) {
    super(MOST, log.link);
    this.#log = log;
    // what came between the reading and the beginning of the watch, nobody has told
    $effect(() => log.onBegin(() => void this.catchUp()));
  }

  /** Shows these, from the newest on. */
  async show(wanted: Wanted): Promise<void> {
    this.#wanted = wanted;
    await this.begin();
  }

  /** A new event came. */
  take(event: Event): void {
    if (event.messageId === 'EventLog.Cleared') void this.begin();
    else if (matches(event, this.#wanted)) this.add(event);
  }

  protected override async read(pageToken: string): Promise<Part<Event>> {
    const filter = toFilter(this.#wanted);
    const page = await this.#log.list({ filter, newestFirst: true, pageSize: PAGE, pageToken });
    return { entries: page.events, nextPageToken: page.nextPageToken };
  }
}

/** All events that are wanted, the oldest first. */
export function everyEvent(wanted: Wanted): Promise<Event[]> {
  return everyPage(
    (pageToken) => events.listEvents({ filter: toFilter(wanted), pageSize: EXPORT_PAGE, pageToken }),
    (page) => page.events,
  );
}
