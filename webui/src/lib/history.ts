/** The points of a sensor's history, oldest first: what was read once, and each reading that came since. Pure. */

/** Times in seconds since 1970, and the value at each; null where there was none. */
export interface Points {
  times: number[];
  values: (number | null)[];
}

export const NO_POINTS: Points = { times: [], values: [] };

/** With one more reading, if it is newer than all; without what is older than `span` seconds, and at most `most`. */
export function grown(known: Points, time: number, value: number | null, span: number, most: number): Points {
  const newest = known.times.at(-1);
  if (newest !== undefined && time <= newest) return known;
  const kept = known.times.findIndex((each) => each >= time - span);
  const first = Math.max(kept < 0 ? known.times.length : kept, known.times.length + 1 - most);
  return {
    times: [...known.times.slice(first), time],
    values: [...known.values.slice(first), value],
  };
}

/** What was read, and behind it the readings that came while it was. */
export function joined(read: Points, live: Points): Points {
  const newest = read.times.at(-1) ?? -Infinity;
  const from = live.times.findIndex((each) => each > newest);
  if (from < 0) return read;
  return {
    times: [...read.times, ...live.times.slice(from)],
    values: [...read.values, ...live.values.slice(from)],
  };
}
