/** One Watch call, kept open: it resumes by cursor, waits longer after each failure, and begins at once after an outage. */
import { Code, ConnectError } from '@connectrpc/connect';

import { waitBefore } from './link.svelte.ts';

/** What a stream is made of. */
export interface Source<U> {
  /** Opens it behind the cursor; empty means from the beginning. */
  open(cursor: string, signal: AbortSignal): AsyncIterable<U>;
  /** Takes one update in; gives the cursor behind it. */
  take(update: U): string;
  /** It broke, and is opened again unless that cannot help; without a reason if it just ended. */
  broke(error: ConnectError | undefined): void;
}

/** The part of a link that a stream needs. */
export interface Reach {
  reached(): Promise<void>;
  heard(): void;
  onDead(listener: () => void): () => void;
}

// These say that trying again will not help: the BMC has no such call, or it is not for this person.
const FINAL = new Set([Code.NotFound, Code.Unimplemented, Code.PermissionDenied, Code.Unauthenticated]);
const CALM_MS = 1_000;

export class Stream<U> {
  #source: Source<U>;
  #link: Reach;
  #cursor = '';
  #stop = new AbortController();
  #attempt: AbortController | undefined;
  #running = false;
  /** It was broken off in order to be opened otherwise. */
  #reopening = false;

  constructor(source: Source<U>, link: Reach) {
    this.#source = source;
    this.#link = link;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#reopening = false;
    this.#stop = new AbortController();
    void this.#run(this.#stop.signal);
  }

  /** Ends it; the cursor stays, so that a later start catches up. */
  stop(): void {
    this.#running = false;
    this.#stop.abort();
  }

  /** Opens it anew behind what was taken, because something else is wanted of it. One that is not open will be so anyway. */
  reopen(): void {
    if (!this.#attempt) return;
    this.#reopening = true;
    this.#attempt.abort();
  }

  /** Forgets where it was: the next start is from the beginning. */
  forget(): void {
    this.#cursor = '';
  }

  async #run(stopped: AbortSignal): Promise<void> {
    for (let tries = 0; !stopped.aborted; tries++) {
      if (!this.#reopening) {
        if (tries > 1) await sleep(waitBefore(tries - 2), stopped);
        await Promise.race([this.#link.reached(), aborted(stopped)]);
        if (stopped.aborted) return;
      }
      this.#reopening = false;
      const began = Date.now();
      const error = await this.#follow(stopped);
      if (stopped.aborted) return;
      if (this.#reopening) continue;
      // a place that is not taken any more would not be taken later either
      if (error?.code === Code.InvalidArgument) this.#cursor = '';
      this.#source.broke(error);
      // the link finds out whether the session has ended, and tells everybody
      if (error?.code === Code.Unauthenticated) void this.#link.reached();
      if (error && FINAL.has(error.code)) return;
      if (Date.now() - began > CALM_MS) tries = 0;
    }
  }

  /** Follows it until it breaks; undefined if it just ended. */
  async #follow(stopped: AbortSignal): Promise<ConnectError | undefined> {
    const attempt = new AbortController();
    this.#attempt = attempt;
    const cancel = (): void => attempt.abort();
    stopped.addEventListener('abort', cancel);
    const forgetDead = this.#link.onDead(cancel);
    try {
      for await (const update of this.#source.open(this.#cursor, attempt.signal)) {
        if (attempt.signal.aborted) break;
        this.#link.heard();
        this.#cursor = this.#source.take(update);
      }
      return undefined;
    } catch (error) {
      return ConnectError.from(error);
    } finally {
      if (this.#attempt === attempt) this.#attempt = undefined;
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
