/** A log as a page shows it: the newest first, older ones on request, caught up with by itself after an outage. */
import { problemOf, type Problem } from '#lib/problem.ts';

import { Keeper, type Back } from './keeper.svelte.ts';

interface Entry {
  id: bigint;
}

/** One page of the log, the newest first; the token is empty when nothing is older. */
export interface Part<T> {
  entries: readonly T[];
  nextPageToken: string;
}

/** Entries of both lists, each once, the newest first. */
export function newestFirst<T extends Entry>(known: readonly T[], more: readonly T[], most: number): T[] {
  const all = new Map([...known, ...more].map((each) => [each.id, each]));
  return [...all.values()].sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, most);
}

/** Ids rise with each entry and are never used again. */
export abstract class Newest<T extends Entry> {
  list = $state.raw<readonly T[]>([]);
  busy = $state(true);
  problem = $state.raw<Problem>();
  /** There are older ones. */
  more = $state(false);
  readonly #most: number;
  readonly #keeper: Keeper;
  /** The list is what is wanted, and not what was wanted before. */
  #current = false;
  #asked = false;
  #token = '';
  #turn = 0;
  /** What came while a page was read, which may be older. */
  #fresh: T[] = [];

  /** `most` entries are kept at most. */
  constructor(most: number, link?: Back) {
    this.#most = most;
    this.#keeper = new Keeper(() => void this.catchUp(), link);
  }

  /** Reads the page behind a token; empty means the first one. */
  protected abstract read(token: string): Promise<Part<T>>;

  /** Shows what is wanted, from the newest on. */
  protected async begin(): Promise<void> {
    this.#asked = true;
    this.#current = false;
    await this.#read('', (page) => this.#replace(page));
  }

  /** Shows older ones too. */
  async older(): Promise<void> {
    if (this.busy || !this.more) return;
    await this.#read(this.#token, (page) => {
      this.#token = page.nextPageToken;
      this.list = newestFirst(this.list, page.entries, this.#most);
    });
  }

  /** Reads what came while nobody could tell; nothing before something was asked for. */
  async catchUp(): Promise<void> {
    if (!this.#asked) return;
    if (!this.#current) return this.begin();
    await this.#read('', (page) => {
      const newest = this.list[0]?.id ?? 0n;
      const oldest = page.entries.at(-1)?.id ?? 0n;
      // a page that is the whole log, or that does not reach what is known, leaves nothing of it
      if (!page.nextPageToken || oldest > newest) this.#replace(page);
      else this.list = newestFirst(this.list, page.entries, this.#most);
    });
  }

  /** Takes one in that came. */
  protected add(entry: T): void {
    if (this.busy) this.#fresh.push(entry);
    this.list = newestFirst(this.list, [entry], this.#most);
  }

  #replace(page: Part<T>): void {
    this.#token = page.nextPageToken;
    this.#current = true;
    this.list = newestFirst(this.#fresh, page.entries, this.#most);
  }

  async #read(token: string, put: (page: Part<T>) => void): Promise<void> {
    const turn = ++this.#turn;
    this.#fresh = [];
    this.busy = true;
    try {
      const page = await this.read(token);
      if (turn !== this.#turn) return;
      put(page);
      this.problem = undefined;
      this.more = this.#token !== '' && this.list.length < this.#most;
      this.#keeper.done();
    } catch (error) {
      if (turn !== this.#turn) return;
      this.problem = problemOf(error);
      this.#keeper.failed(this.problem);
    } finally {
      if (turn === this.#turn) this.busy = false;
    }
  }
}
