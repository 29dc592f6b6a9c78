/** A Watch RPC and the things that it tells: open while somebody looks, and a little longer. */
import { Code, type ConnectError } from '@connectrpc/connect';

import { isAbsent, problemOf, type Problem } from '../problem.ts';
import { arrived } from './arrival.ts';
import { Items } from './items.svelte.ts';
import type { LinkState } from './link.svelte.ts';
import { Stream, type Reach as Reachable } from './stream.ts';

type Reach = Reachable & { readonly state: LinkState };

// so that going from page to page does not close and open it
const LINGER_MS = 10_000;
const SNAPSHOT_MS = 1_500;
// what a browser says of a connection that broke
const LOST = new Set([Code.Unknown, Code.Canceled, Code.Aborted]);

/** What differs between the Watch RPCs. */
export interface Watch<U, T> {
  open(cursor: string, signal: AbortSignal): AsyncIterable<U>;
  items(update: U): Iterable<readonly [string, T]>;
}

interface Update {
  cursor: string;
  snapshot?: boolean;
}

export class Watched<T extends object, U extends Update = Update> extends Items<T> {
  /** It runs. */
  open = $state(false);
  /** What is here is all that the BMC knew when it was heard last; else nobody can say that something is missing. */
  known = $state(false);
  #refused = $state.raw<Problem>();
  #link: Reach;
  #stream: Stream<U>;
  #users = 0;
  #linger: ReturnType<typeof setTimeout> | undefined;
  #settling: ReturnType<typeof setTimeout> | undefined;

  constructor(watch: Watch<U, T>, link: Reach) {
    super();
    this.#link = link;
    this.#stream = new Stream<U>(
      {
        open: (cursor, signal) => watch.open(cursor, signal),
        take: (update) => {
          const told = [...watch.items(update)];
          for (const [, thing] of told) arrived(thing);
          this.take(told, update.snapshot === true);
          if (update.snapshot) this.#settleSoon();
          else this.#settled();
          return update.cursor;
        },
        tell: (state) => this.#tell(state),
      },
      link,
    );
  }

  /** Why it does not run although the BMC answers; that it does not answer is shown once for all. */
  get problem(): Problem | undefined {
    return this.#link.state === 'live' ? this.#refused : undefined;
  }

  /** Looks at it; gives the way to look away: `$effect(() => live.sensors.use())`. */
  use(): () => void {
    this.#users++;
    clearTimeout(this.#linger);
    this.#stream.start();
    let used = true;
    return () => {
      if (!used) return;
      used = false;
      if (--this.#users === 0) this.#linger = setTimeout(() => this.#close(), LINGER_MS);
    };
  }

  /** Closes it and forgets everything: somebody else may log in. */
  reset(): void {
    this.#close();
    this.#stream.forget();
    this.clear();
    this.known = false;
    this.#refused = undefined;
    if (this.#users > 0) this.#stream.start();
  }

  #close(): void {
    clearTimeout(this.#linger);
    this.#unsettle();
    this.#stream.stop();
    this.open = false;
  }

  #settleSoon(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => {
      this.settle();
      this.#settled();
    }, SNAPSHOT_MS);
  }

  #settled(): void {
    this.#unsettle();
    if (!this.known) this.known = true;
  }

  #unsettle(): void {
    clearTimeout(this.#settling);
    this.#settling = undefined;
  }

  #tell(state: { open: boolean; error?: ConnectError }): void {
    if (this.open !== state.open) this.open = state.open;
    if (state.open) {
      this.#refused = undefined;
      // that there is nothing is told by silence
      if (this.#settling === undefined) this.#settled();
    } else {
      this.#unsettle();
      this.#refuse(state.error);
    }
  }

  #refuse(error: ConnectError | undefined): void {
    if (!error || LOST.has(error.code)) return;
    this.#refused = problemOf(error);
    this.known = isAbsent(error);
  }
}
