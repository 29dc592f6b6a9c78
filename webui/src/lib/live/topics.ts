/** Which topics the one stream is asked for: some always, the others while a page looks at them and a little longer. */
import type { LiveTopic } from '../gen/ubmc/v1alpha1/live_pb.ts';

// so that going from page to page and back changes nothing
const LINGER_MS = 10_000;
// a page that opens or closes looks at several things, or away from them, one after the other
const TOGETHER_MS = 20;

export class Topics {
  readonly #always: readonly LiveTopic[];
  readonly #changed: () => void;
  #users = new Map<LiveTopic, number>();
  #lingering = new Map<LiveTopic, ReturnType<typeof setTimeout>>();
  #soon: ReturnType<typeof setTimeout> | undefined;

  /** `changed` is called when others may be wanted, once for several changes at a time. */
  constructor(always: readonly LiveTopic[], changed: () => void) {
    this.#always = always;
    this.#changed = changed;
  }

  /** Those that are wanted now, in their order. */
  get wanted(): LiveTopic[] {
    return [...new Set([...this.#always, ...this.#users.keys(), ...this.#lingering.keys()])].sort((a, b) => a - b);
  }

  /** Looks at a topic; gives the way to look away. */
  use(topic: LiveTopic): () => void {
    this.#users.set(topic, (this.#users.get(topic) ?? 0) + 1);
    if (!this.#endLinger(topic)) this.#tell();
    let used = true;
    return () => {
      if (!used) return;
      used = false;
      this.#leave(topic);
    };
  }

  /** Forgets who has just looked away, and tells nothing of what was to be told. */
  settle(): void {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    for (const topic of [...this.#lingering.keys()]) this.#endLinger(topic);
  }

  #leave(topic: LiveTopic): void {
    const left = (this.#users.get(topic) ?? 1) - 1;
    if (left > 0) {
      this.#users.set(topic, left);
      return;
    }
    this.#users.delete(topic);
    this.#lingering.set(
      topic,
      setTimeout(() => {
        this.#lingering.delete(topic);
        this.#tell();
      }, LINGER_MS),
    );
  }

  /** Whether it was lingering. */
  #endLinger(topic: LiveTopic): boolean {
    clearTimeout(this.#lingering.get(topic));
    return this.#lingering.delete(topic);
  }

  #tell(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#changed();
    }, TOGETHER_MS);
  }
}
