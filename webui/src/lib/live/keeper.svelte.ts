/** Keeps what a component has read from getting old: it is read again after an outage, or until the BMC answers at all. */
import { Code } from '@connectrpc/connect';

import type { Problem } from '../problem.ts';
import { waitBefore } from './link.svelte.ts';
import { link as theLink } from './there.ts';

/** The part of a link that is needed here. */
export interface Back {
  reached(): Promise<void>;
  onBack(listener: () => void): () => void;
}

// what passes by itself: nobody answers, or not in time; a refusal does not
const PASSING = new Set([Code.Unknown, Code.Unavailable, Code.DeadlineExceeded, Code.Canceled, Code.Aborted]);

export class Keeper {
  readonly #read: () => void;
  readonly #link: Back;
  #tries = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  /** Made by a component, it ends with it. `read` reads, and then tells how that went. */
  constructor(read: () => void, link: Back = theLink) {
    this.#read = read;
    this.#link = link;
    $effect(() => {
      const forget = link.onBack(() => this.#again());
      return () => {
        this.#ended = true;
        clearTimeout(this.#timer);
        forget();
      };
    });
  }

  /** It was read. */
  done(): void {
    clearTimeout(this.#timer);
    this.#tries = 0;
  }

  /** It could not be read. */
  failed(problem: Problem): void {
    clearTimeout(this.#timer);
    if (this.#ended || !PASSING.has(problem.code)) return;
    this.#timer = setTimeout(() => void this.#link.reached().then(() => this.#again()), waitBefore(this.#tries++));
  }

  #again(): void {
    clearTimeout(this.#timer);
    if (!this.#ended) this.#read();
  }
}
