/** Things by their names, as a stream tells them: who looks at one thing is renewed only when that one changes. */

const compare = new Intl.Collator('en', { numeric: true }).compare;

class Cell<T> {
  value = $state.raw() as T;

  constructor(value: T) {
    this.value = value;
  }
}

export class Items<T> {
  /** All names, in their natural order: `fan2` before `fan10`. */
  names = $state.raw<readonly string[]>([]);
  #cells = new Map<string, Cell<T>>();
  #seen: Set<string> | undefined;

  /** All things, in the order of their names. Whoever reads this is renewed by each change of each. */
  get all(): T[] {
    return this.names.map((name) => this.get(name)).filter((each) => each !== undefined);
  }

  get(name: string): T | undefined {
    // reading names tells who looks for what is not there yet when it comes
    return this.names.length === 0 ? undefined : this.#cells.get(name)?.value;
  }

  /** Takes news in. What a snapshot no longer names is gone, once the snapshot is over. */
  take(news: Iterable<readonly [string, T]>, snapshot: boolean): void {
    if (snapshot) this.#seen ??= new Set();
    else this.settle();
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
    if (added) this.#sort();
  }

  /** The snapshot is over. */
  settle(): void {
    const seen = this.#seen;
    this.#seen = undefined;
    if (!seen) return;
    const gone = [...this.#cells.keys()].filter((name) => !seen.has(name));
    for (const name of gone) this.#cells.delete(name);
    if (gone.length) this.#sort();
  }

  clear(): void {
    this.#cells.clear();
    this.#seen = undefined;
    this.#sort();
  }

  #sort(): void {
    this.names = [...this.#cells.keys()].sort(compare);
  }
}
