/** Whether all is known that a statement rests on: "nothing needs attention" is none while nobody can tell. Pure. */
import type { Problem } from './problem.ts';

export interface Source {
  /** All that there is has been told, as far as it was heard; also that this board has none of it. */
  readonly known: boolean;
  /** What the BMC said against telling it. */
  readonly problem: Problem | undefined;
}

export interface Standing {
  known: boolean;
  /** Why it is not known; empty if it is, or if nothing was answered yet. */
  reason: string;
}

/** What is read now and then, as a source. That it cannot be read while the link is lost is said once for the page. */
export function asSource(read: { value: unknown; problem: Problem | undefined }, isLive: boolean): Source {
  const problem = isLive ? read.problem : undefined;
  return { known: read.value !== undefined && !problem, problem };
}

/** How it stands with all of them together. */
export function standing(sources: readonly Source[]): Standing {
  const missing = sources.filter((each) => !each.known);
  const reason = missing.find((each) => each.problem)?.problem?.message ?? '';
  return { known: missing.length === 0, reason };
}
