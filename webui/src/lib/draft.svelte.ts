/**
 * What a form edits. A field follows the BMC until a person changes it, and then keeps what they wrote: what is read anew,
 * because something else was saved or the connection came back, throws no edit away.
 */
import { untrack } from 'svelte';

import { differ, pathOf } from './changes.ts';

export class Draft<T extends object, K extends keyof T & string> {
  /** The fields as they are in the form. */
  now: Pick<T, K> = $state({} as Pick<T, K>);
  #known: Pick<T, K> = $state.raw({} as Pick<T, K>);
  readonly #keys: readonly K[];

  /** Begins with what the BMC has. */
  constructor(from: T, keys: readonly K[]) {
    this.#keys = keys;
    this.#known = this.#of(from);
    this.now = this.#of(from);
  }

  /** The fields that a person changed and that are not saved. */
  get changed(): K[] {
    return this.#keys.filter((key) => differ(this.#known[key], this.now[key]));
  }

  /** Those, as the paths of an update mask. */
  get paths(): string[] {
    return this.changed.map(pathOf);
  }

  /** What the BMC has now: `$effect.pre(() => draft.follow(policy))`. */
  follow(next: T): void {
    untrack(() => {
      const edited = new Set(this.changed);
      const fresh = this.#of(next);
      this.#known = fresh;
      for (const key of this.#keys) if (!edited.has(key)) this.now[key] = $state.snapshot(fresh[key]) as Pick<T, K>[K];
    });
  }

  /** What is in the form was saved: from here on it follows again. */
  kept(): void {
    this.#known = this.given();
  }

  /** The fields as they are, to be sent. */
  given(): Pick<T, K> {
    return $state.snapshot(this.now) as Pick<T, K>;
  }

  #of(from: T): Pick<T, K> {
    return Object.fromEntries(this.#keys.map((key) => [key, $state.snapshot(from[key])])) as Pick<T, K>;
  }
}
