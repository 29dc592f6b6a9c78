/** A call that a person began: whether it is under way, and what became of it. */
import { Keeper, type Back } from './live/keeper.svelte.ts';
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

/** What a component reads once, again when asked to, and by itself when the BMC is back after an outage. */
export class Loaded<T> {
  value = $state.raw<T>();
  busy = $state(false);
  problem = $state<Problem>();
  readonly #load: () => Promise<T>;
  readonly #keeper: Keeper;
  #turn = 0;

  constructor(load: () => Promise<T>, link?: Back) {
    this.#load = load;
    this.#keeper = new Keeper(() => void this.refresh(), link);
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
