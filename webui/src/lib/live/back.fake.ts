/** For tests: a link that is back when the test says so. */
import type { Back } from './keeper.svelte.ts';

export class FakeLink implements Back {
  up = true;
  #waiting = new Set<() => void>();
  #listeners = new Set<() => void>();

  get listeners(): number {
    return this.#listeners.size;
  }

  reached(): Promise<void> {
    return this.up ? Promise.resolve() : new Promise((resolve) => this.#waiting.add(resolve));
  }

  onBack(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The BMC answers again. */
  back(): void {
    this.up = true;
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
    for (const listener of [...this.#listeners]) listener();
  }
}
