import { describe, expect, test } from 'vitest';

import { daysLeft, splitPem, standing } from './days.ts';

const DAY = 86_400_000;

describe('how long a certificate is good', () => {
  test.each([
    [0, 100, 50, 'good'],
    [0, 100, 71, 'soon'],
    [0, 100, 100, 'soon'],
    [0, 100, 101, 'expired'],
    [5, 100, 4, 'future'],
  ])('from day %i to %i, on day %i: %s', (begin, end, now, wanted) => {
    expect(standing(begin * DAY, end * DAY, now * DAY)).toBe(wanted);
  });

  test('days are whole, and negative when it is over', () => {
    expect(daysLeft(10 * DAY, 9 * DAY + 1)).toBe(0);
    expect(daysLeft(10 * DAY, 10 * DAY + 1)).toBe(-1);
  });

  test('a chain is split', () => {
    const one = '-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----';
    expect(splitPem(`text\n${one}\n${one}\n`)).toEqual([one, one]);
  });
});
