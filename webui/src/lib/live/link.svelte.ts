/**
 * Whether the BMC answers: the one state of the connection that is shown.
 *
 * Whoever loses a stream asks `reached()`, which ends as soon as the BMC answers anything; all that wait share one probe.
 */
import { Code, ConnectError } from '@connectrpc/connect';

import { sessions } from '../api.ts';

export type LinkState = 'connecting' | 'live' | 'lost';

const PROBE_MS = 5_000;
const SILENCE_MS = 20_000;
const WAITS_MS = [250, 500, 1_000, 2_000, 3_000, 5_000];

/** How long to wait before try number `tries` (from 0), with up to a quarter more so that pages do not come at once. */
export function waitBefore(tries: number, random: number = Math.random()): number {
  const wait = WAITS_MS[Math.min(tries, WAITS_MS.length - 1)] ?? 5_000;
  return wait * (1 + random / 4);
}

export class Link {
  state = $state<LinkState>('connecting');
  /** When the connection was lost, in milliseconds since 1970; 0 while it is not. */
  lostSince = $state(0);
  #probe: () => Promise<unknown>;
  #probing: Promise<void> | undefined;
  #hurry: (() => void) | undefined;
  #heard = 0;
  #ended = false;
  #silent = new Set<() => void>();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(probe: () => Promise<unknown> = () => sessions.getCurrentSession({}, { timeoutMs: PROBE_MS })) {
    this.#probe = probe;
  }

  /** Begins to look after the connection. */
  start(): void {
    this.#ended = false;
    this.#probing = undefined; // what waited for an earlier session waits for ever
    this.#heard = Date.now();
    this.state = 'connecting';
    this.#timer ??= setInterval(() => this.#mindSilence(), SILENCE_MS / 4);
    if (typeof window !== 'undefined') {
      for (const kind of ['online', 'offline', 'pageshow']) window.addEventListener(kind, this.#look);
      document.addEventListener('visibilitychange', this.#look);
    }
    void this.reached();
  }

  stop(): void {
    this.#ended = true;
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (typeof window !== 'undefined') {
      for (const kind of ['online', 'offline', 'pageshow']) window.removeEventListener(kind, this.#look);
      document.removeEventListener('visibilitychange', this.#look);
    }
    this.#hurry?.();
    this.state = 'connecting';
    this.lostSince = 0;
  }

  /** A stream heard something, so the BMC is there. */
  heard(): void {
    this.#heard = Date.now();
  }

  /** Calls `listener` when the BMC was silent and then did not answer: what is open is dead. Gives the way to stop that. */
  onDead(listener: () => void): () => void {
    this.#silent.add(listener);
    return () => this.#silent.delete(listener);
  }

  /** Ends when the BMC answers; never if nobody is logged in. */
  reached(): Promise<void> {
    if (this.#probing) return this.#probing;
    const probing = this.#reach().finally(() => {
      if (this.#probing === probing) this.#probing = undefined;
    });
    this.#probing = probing;
    return probing;
  }

  /** Tries again now. */
  retry(): void {
    this.#hurry?.();
  }

  #look = (): void => {
    if (document.visibilityState === 'hidden') return;
    this.retry();
    void this.reached();
  };

  #mindSilence(): void {
    if (Date.now() - this.#heard > SILENCE_MS) void this.reached();
  }

  async #reach(): Promise<void> {
    for (let tries = 0; !this.#ended; tries++) {
      try {
        await this.#probe();
        this.heard();
        this.state = 'live';
        this.lostSince = 0;
        return;
      } catch (error) {
        // who is not logged in is not cut off: the session tells it, and the page leaves
        if (ConnectError.from(error).code === Code.Unauthenticated) this.#ended = true;
        else this.#lose();
      }
      if (!this.#ended) await this.#pause(waitBefore(tries));
    }
    await new Promise<never>(() => undefined);
  }

  #lose(): void {
    if (this.state === 'lost') return;
    this.state = 'lost';
    this.lostSince = Date.now();
    for (const listener of [...this.#silent]) listener();
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
