import { describe, expect, test } from 'vitest';

import { grown, joined, NO_POINTS, type Points } from './history.ts';

const points = (...times: number[]): Points => ({ times, values: times.map((time) => time * 10) });

describe('the history of a sensor', () => {
  test('grows from nothing', () => {
    expect(grown(NO_POINTS, 5, 50, 900, 10)).toEqual(points(5));
    expect(grown(points(5), 6, null, 900, 10)).toEqual({ times: [5, 6], values: [50, null] });
  });

  test('takes no reading twice, and none that is older', () => {
    const known = points(5, 6);
    expect(grown(known, 6, 1, 900, 10)).toBe(known);
    expect(grown(known, 4, 1, 900, 10)).toBe(known);
  });

  test('loses what is older than the span, even all of it', () => {
    expect(grown(points(1, 2, 3), 12, 120, 10, 10)).toEqual(points(2, 3, 12));
    expect(grown(points(1, 2, 3), 99, 990, 10, 10)).toEqual(points(99));
  });

  test('has a bound', () => {
    expect(grown(points(1, 2, 3), 4, 40, 900, 3)).toEqual(points(2, 3, 4));
  });

  test('what came while it was read stays', () => {
    expect(joined(points(1, 2, 3), points(2, 3, 4))).toEqual(points(1, 2, 3, 4));
    expect(joined(NO_POINTS, points(4))).toEqual(points(4));
    expect(joined(points(1, 2), NO_POINTS)).toEqual(points(1, 2));
    expect(joined(points(1, 2), points(2))).toEqual(points(1, 2));
  });
});
