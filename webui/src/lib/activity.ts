/**
 * Whether somebody is at this page. What a page asks for by itself does not keep its session from ending; what a person
 * does there is use of it, even if it needs no call.
 */
const KINDS = ['pointerdown', 'keydown', 'wheel', 'touchstart'] as const;
/** What is asked for so soon after a person did something is taken for theirs. */
const RECENT_MS = 10_000;
/** A person who does something that needs no call is told to the BMC at most so often. */
const TELL_MS = 15_000;

/** On a request: nobody asked for it, so it is no use of the session. */
export const UNATTENDED = 'x-unattended';

export class Activity {
  // who opens a page does something
  #last = Date.now();
  #told = 0;
  #listeners = new Set<() => void>();

  /** Begins to look at what is done in this window; gives the way to stop that. */
  start(): () => void {
    const noted = (): void => this.note();
    for (const kind of KINDS) window.addEventListener(kind, noted, { capture: true, passive: true });
    return () => {
      for (const kind of KINDS) window.removeEventListener(kind, noted, { capture: true });
    };
  }

  /** Calls `listener` when the BMC should be told that somebody is here; gives the way to stop that. */
  on(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A person did something. */
  note(): void {
    this.#last = Date.now();
    if (this.#last - this.#told < TELL_MS) return;
    this.#told = this.#last;
    for (const listener of [...this.#listeners]) listener();
  }

  /** Whether a request that is made now is a person's. */
  attended(): boolean {
    const now = Date.now();
    if (now - this.#last >= RECENT_MS) return false;
    this.#told = now;
    return true;
  }
}

export const activity = new Activity();
