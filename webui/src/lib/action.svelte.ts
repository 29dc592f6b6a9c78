/** A call that a person began: whether it is under way, and what became of it. */
import { problemOf, type Problem } from './problem.ts';

/** Runs one call at a time; a form shows `busy` and `problem`. */
export class Action<A extends unknown[] = [], R = unknown> {
  busy = $state(false);
  problem = $state<Problem>();
  readonly #call: (...given: A) => Promise<R>;

  constructor(call: (...given: A) => Promise<R>) {
    this.#call = call;
  }

  /** Whether it went well. While one is under way another is not begun. */
  async run(...given: A): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.problem = undefined;
    try {
      await this.#call(...given);
      return true;
    } catch (error) {
      this.problem = problemOf(error);
      return false;
    } finally {
      this.busy = false;
    }
  }

  /** What is wrong with a field; empty if nothing is. */
  field(name: string): string {
    return this.problem?.fields[name] ?? '';
  }

  clear(): void {
    this.problem = undefined;
  }
}

/** What a page reads once and again when asked to. */
export class Loaded<T> {
  value = $state.raw<T>();
  busy = $state(false);
  problem = $state<Problem>();
  readonly #load: () => Promise<T>;
  #turn = 0;

  constructor(load: () => Promise<T>) {
    this.#load = load;
    void this.refresh();
  }

  /** Reads it again; of two readings at a time the later one counts. */
  async refresh(): Promise<void> {
    const turn = ++this.#turn;
    this.busy = true;
    try {
      const value = await this.#load();
      if (turn !== this.#turn) return;
      this.value = value;
      this.problem = undefined;
    } catch (error) {
      if (turn === this.#turn) this.problem = problemOf(error);
    } finally {
      if (turn === this.#turn) this.busy = false;
    }
  }
}
