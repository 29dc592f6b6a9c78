/** Which pages have something to show on this board: asked once after the login, and again after an outage. */
import { system } from './api.ts';
import { NAVIGATION, type Entry, type Group } from './nav.ts';
import { isAbsent } from './problem.ts';

type Health = () => Promise<{ services: readonly { name: string }[] }>;

export class Presence {
  readonly #asked: readonly Entry[];
  readonly #health: Health;
  #hidden = $state.raw<ReadonlySet<string>>(new Set());

  constructor(groups: readonly Group[] = NAVIGATION, health: Health = () => system.getHealth({})) {
    this.#asked = groups.flatMap((group) => group.entries.filter((each) => each.service));
    this.#health = health;
    this.#hidden = new Set(this.#asked.map((each) => each.path));
  }

  shows(entry: Entry): boolean {
    return !this.#hidden.has(entry.path);
  }

  async refresh(): Promise<void> {
    if (this.#asked.length === 0) return;
    try {
      const { services } = await this.#health();
      const names = new Set(services.map((each) => each.name));
      const hidden = await Promise.all(
        this.#asked.map(async (each) => ((await isThere(each, names)) ? '' : each.path)),
      );
      this.#hidden = new Set(hidden.filter(Boolean));
    } catch {
      // the BMC does not answer; it is asked again when it does
    }
  }
}

async function isThere(entry: Entry, services: ReadonlySet<string>): Promise<boolean> {
  if (!services.has(entry.service ?? '')) return false;
  try {
    await entry.present?.();
    return true;
  } catch (error) {
    return !isAbsent(error);
  }
}

export const presence = new Presence();
