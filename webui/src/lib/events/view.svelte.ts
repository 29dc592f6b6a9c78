/** The part of the event log that a page shows: the newest first, older ones on request, new ones as they come. */
import { events } from '#lib/api.ts';
import type { Event } from '#lib/gen/ubmc/v1alpha1/event_pb.ts';
import { problemOf, type Problem } from '#lib/problem.ts';

import { EVERYTHING, matches, toFilter, type Wanted } from './filter.ts';

const PAGE = 50;
const EXPORT_PAGE = 1000;
/** So many events are kept in the page; beyond that a filter helps more than scrolling. */
export const MOST = 2000;

/** Both lists in one, the newest first, each event once. */
export function joined(known: readonly Event[], more: readonly Event[]): Event[] {
  const all = new Map([...known, ...more].map((each) => [each.id, each]));
  return [...all.values()].sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, MOST);
}

export class EventView {
  list = $state.raw<readonly Event[]>([]);
  busy = $state(true);
  problem = $state.raw<Problem>();
  /** There are older ones. */
  more = $state(false);
  #wanted: Wanted = EVERYTHING;
  #token = '';
  #turn = 0;
  /** What came while a list was read, which may be older. */
  #fresh: Event[] = [];

  /** Shows these, from the newest on. */
  async show(wanted: Wanted): Promise<void> {
    this.#wanted = wanted;
    this.#token = '';
    this.#fresh = [];
    await this.#read((page) => (this.list = joined(this.#fresh, page)));
  }

  /** Shows older ones too. */
  async older(): Promise<void> {
    if (this.busy || !this.more) return;
    await this.#read((page) => (this.list = joined(this.list, page)));
  }

  /** A new event came. */
  take(event: Event): void {
    if (event.messageId === 'EventLog.Cleared') void this.show(this.#wanted);
    else if (matches(event, this.#wanted)) {
      if (this.busy) this.#fresh.push(event);
      this.list = joined(this.list, [event]);
    }
  }

  async #read(put: (page: Event[]) => void): Promise<void> {
    const turn = ++this.#turn;
    this.busy = true;
    try {
      const answer = await events.listEvents({
        filter: toFilter(this.#wanted),
        newestFirst: true,
        pageSize: PAGE,
        pageToken: this.#token,
      });
      if (turn !== this.#turn) return;
      this.#token = answer.nextPageToken;
      this.problem = undefined;
      put(answer.events);
      this.more = this.#token !== '' && this.list.length < MOST;
    } catch (error) {
      if (turn === this.#turn) this.problem = problemOf(error);
    } finally {
      if (turn === this.#turn) this.busy = false;
    }
  }
}

/** All events that are wanted, the oldest first. */
export async function everyEvent(wanted: Wanted): Promise<Event[]> {
  const all: Event[] = [];
  let pageToken = '';
  do {
    const page = await events.listEvents({ filter: toFilter(wanted), pageSize: EXPORT_PAGE, pageToken });
    all.push(...page.events);
    pageToken = page.nextPageToken;
  } while (pageToken);
  return all;
}
