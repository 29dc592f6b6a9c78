/** Things by their names, as a stream tells them: who looks at one thing is renewed only when that one changes. */

const compare = new Intl.Collator('en', { numeric: true }).compare;

class Cell<T> {
  value = $state.raw() as T;

  constructor(value: T) {
    this.value = value;
  }
}

/** What a Watch call says of an update. */
export interface Told {
  /** It belongs to a snapshot. */
  snapshot: boolean;
  /** With it everything there is has been told. */
  complete: boolean;
}

export class Items<T> {
  /** All names, in their natural order: `fan2` before `fan10`. */
  names = $state.raw<readonly string[]>([]);
  #cells = new Map<string, Cell<T>>();
  /** What a snapshot that is not complete has named. */
  #seen: Set<string> | undefined;

  /** All things, in the order of their names. Whoever reads this is renewed by each change of each. */
  get all(): T[] {
    return this.names.map((name) => this.get(name)).filter((each) => each !== undefined);
  }

  get(name: string): T | undefined {
    // reading names tells who looks for what is not there yet when it comes
    return this.names.length === 0 ? undefined : this.#cells.get(name)?.value;
  }

  /** Takes news in. What a whole snapshot does not name is gone. */
  take(news: Iterable<readonly [string, T]>, told: Told): void {
    if (told.snapshot) this.#seen ??= new Set();
    let added = false;
    for (const [name, value] of news) {
      this.#seen?.add(name);
      const cell = this.#cells.get(name);
      if (cell) cell.value = value;
      else {
        this.#cells.set(name, new Cell(value));
        added = true;
      }
    }
    const gone = told.complete && this.#drop();
    if (added || gone) this.#sort();
  }

  /** The stream begins again, and with it a snapshot that was broken off. */
  again(): void {
    this.#seen = undefined;
  }

  clear(): void {
    this.#cells.clear();
    this.#seen = undefined;
    this.#sort();
  }

  /** Drops what the snapshot, which is complete, has not named; whether there was any. */
  #drop(): boolean {
    const seen = this.#seen;
    this.#seen = undefined;
    if (!seen) return false;
    const gone = [...this.#cells.keys()].filter((name) => !seen.has(name));
    for (const name of gone) this.#cells.delete(name);
    return gone.length > 0;
  }

  #sort(): void {
    this.names = [...this.#cells.keys()].sort(compare);
  }
}
