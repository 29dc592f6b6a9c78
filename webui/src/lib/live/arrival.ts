/**
 * When a thing was told. What it says of times that go on, such as "80 s left", was true then, by whatever clock: the
 * clocks of BMC and browser need not agree.
 */
const times = new WeakMap<object, number>();

/** Notes that a thing has just been told. */
export function arrived(thing: object): void {
  times.set(thing, Date.now());
}

/** How long ago that was, in seconds, if it is `now`; 0 for what nobody told. */
export function secondsSince(thing: object, now: number): number {
  const told = times.get(thing);
  return told === undefined ? 0 : Math.max(0, (now - told) / 1000);
}
