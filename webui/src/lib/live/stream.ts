/** One Watch RPC, kept open: it resumes by cursor, waits longer after each failure, and begins at once after an outage. */
import { Code, ConnectError } from '@connectrpc/connect';

import { waitBefore } from './link.svelte.ts';

/** What a stream is made of. */
export interface Source<U> {
  /** Opens it behind the cursor; empty means from a snapshot. */
  open(cursor: string, signal: AbortSignal): AsyncIterable<U>;
  /** Takes one update in; gives the cursor behind it. */
  take(update: U): string;
  /** How it is: true when it runs, a reason when it cannot. */
  tell(state: { open: boolean; error?: ConnectError }): void;
}

/** The part of a link that a stream needs. */
export interface Reach {
  reached(): Promise<void>;
  heard(): void;
  onDead(listener: () => void): () => void;
}

// These say that trying again will not help: the service is not on this board, or is not for this person.
const FINAL = new Set([Code.NotFound, Code.Unimplemented, Code.PermissionDenied, Code.Unauthenticated]);
const SETTLED_MS = 1_000;

export class Stream<U> {
  #source: Source<U>;
  #link: Reach;
  #cursor = '';
  #stop = new AbortController();
  #running = false;

  constructor(source: Source<U>, link: Reach) {
    this.#source = source;
    this.#link = link;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#stop = new AbortController();
    void this.#run(this.#stop.signal);
  }

  /** Ends it; the cursor stays, so that a later start catches up. */
  stop(): void {
    this.#running = false;
    this.#stop.abort();
  }

  /** Forgets where it was: the next start begins with a snapshot. */
  forget(): void {
    this.#cursor = '';
  }

  async #run(stopped: AbortSignal): Promise<void> {
    for (let tries = 0; !stopped.aborted; tries++) {
      if (tries > 1) await sleep(waitBefore(tries - 2), stopped);
      await Promise.race([this.#link.reached(), aborted(stopped)]);
      if (stopped.aborted) return;
      const began = Date.now();
      const error = await this.#follow(stopped);
      if (stopped.aborted) return;
      this.#source.tell({ open: false, error });
      // the link finds out whether the session has ended, and tells everybody
      if (error?.code === Code.Unauthenticated) void this.#link.reached();
      if (error && FINAL.has(error.code)) return;
      if (Date.now() - began > SETTLED_MS) tries = 0;
    }
  }

  /** Follows it until it breaks; undefined if it just ended. */
  async #follow(stopped: AbortSignal): Promise<ConnectError | undefined> {
    const attempt = new AbortController();
    const cancel = (): void => attempt.abort();
    stopped.addEventListener('abort', cancel);
    const forgetDead = this.#link.onDead(cancel);
    // a stream that has nothing new to tell stays silent: no refusal for a while means that it runs
    const settled = setTimeout(() => this.#source.tell({ open: true }), SETTLED_MS);
    try {
      for await (const update of this.#source.open(this.#cursor, attempt.signal)) {
        if (attempt.signal.aborted) break;
        this.#link.heard();
        this.#cursor = this.#source.take(update);
        this.#source.tell({ open: true });
      }
      return undefined;
    } catch (error) {
      return ConnectError.from(error);
    } finally {
      clearTimeout(settled);
      forgetDead();
      stopped.removeEventListener('abort', cancel);
      attempt.abort();
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
