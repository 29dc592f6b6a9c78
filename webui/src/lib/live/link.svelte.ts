/**
 * Whether the BMC answers: the one state of the connection that is shown.
 *
 * Whoever loses a stream asks `reached()`, which ends as soon as the BMC answers anything; all that wait share one probe.
 * While nobody sees the page the link sleeps: what is open is ended, and nothing is asked until somebody looks again. So
 * many tabs do not use up the streams that a browser may have open at one BMC.
 */
import { Code, ConnectError } from '@connectrpc/connect';

export type LinkState = 'connecting' | 'live' | 'lost';

const SILENCE_MS = 20_000;
// a page that nobody sees for longer needs no streams; going to another tab and back closes none
const HIDDEN_MS = 10_000;
const WAITS_MS = [250, 500, 1_000, 2_000, 3_000, 5_000];

const KINDS = ['online', 'offline', 'pageshow'] as const;

function isHidden(): boolean {
  return document.visibilityState === 'hidden';
}

/** How long to wait before try number `tries` (from 0), with up to a quarter more so that pages do not come at once. */
export function waitBefore(tries: number, random: number = Math.random()): number {
  const wait = WAITS_MS[Math.min(tries, WAITS_MS.length - 1)] ?? 5_000;
  return wait * (1 + random / 4);
}

export class Link {
  state = $state<LinkState>('connecting');
  /** When the connection was lost, in milliseconds since 1970; 0 while it is not. */
  lostSince = $state(0);
  readonly #probe: () => Promise<unknown>;
  readonly #doubts: () => boolean;
  #probing: Promise<void> | undefined;
  #hurry: (() => void) | undefined;
  #heard = 0;
  #ended = false;
  #silent = new Set<() => void>();
  #back = new Set<() => void>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #dozing: ReturnType<typeof setTimeout> | undefined;
  /** While it sleeps: what wakes those that wait. */
  #wake: (() => void) | undefined;
  #woken: Promise<void> | undefined;
  #missed = false;

  /** `probe` asks the BMC for anything; `doubts` tells, asked often, that it should be asked now. */
  constructor(probe: () => Promise<unknown>, doubts: () => boolean = () => false) {
    this.#probe = probe;
    this.#doubts = doubts;
  }

  /** Begins to look after the connection. */
  start(): void {
    this.#ended = false;
    this.#probing = undefined; // what waited for an earlier session waits for ever
    this.#heard = Date.now();
    this.state = 'connecting';
    this.#timer ??= setInterval(() => this.#mindSilence(), SILENCE_MS / 4);
    if (typeof window !== 'undefined') {
      for (const kind of KINDS) window.addEventListener(kind, this.#look);
      document.addEventListener('visibilitychange', this.#look);
      if (isHidden()) this.#sleep();
    }
    void this.reached();
  }

  stop(): void {
    this.#ended = true;
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (typeof window !== 'undefined') {
      for (const kind of KINDS) window.removeEventListener(kind, this.#look);
      document.removeEventListener('visibilitychange', this.#look);
    }
    this.#rouse();
    this.#missed = false;
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

  /**
   * Calls `listener` when the BMC answers again after an outage, or after a sleep: what was read once may be old. Gives the
   * way to stop that.
   */
  onBack(listener: () => void): () => void {
    this.#back.add(listener);
    return () => this.#back.delete(listener);
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
    if (isHidden()) {
      this.#dozing ??= setTimeout(() => this.#sleep(), HIDDEN_MS);
      return;
    }
    this.#rouse();
    this.retry();
    void this.reached();
  };

  #sleep(): void {
    if (this.#wake) return;
    this.#woken = new Promise((resolve) => (this.#wake = resolve));
    this.#missed = this.state !== 'connecting';
    for (const listener of [...this.#silent]) listener();
  }

  #rouse(): void {
    clearTimeout(this.#dozing);
    this.#dozing = undefined;
    this.#wake?.();
    this.#wake = undefined;
    this.#woken = undefined;
  }

  #mindSilence(): void {
    if (this.#wake) return;
    if (this.#doubts() || Date.now() - this.#heard > SILENCE_MS) void this.reached();
  }

  async #reach(): Promise<void> {
    for (let tries = 0; !this.#ended; tries++) {
      if (this.#woken) await this.#woken;
      if (this.#ended) break;
      try {
        await this.#probe();
        this.#answered();
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

  #answered(): void {
    this.heard();
    const missed = this.#missed;
    this.#missed = false;
    this.state = 'live';
    this.lostSince = 0;
    if (missed) for (const listener of [...this.#back]) listener();
  }

  #lose(): void {
    if (this.state === 'lost') return;
    this.#missed = true;
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
