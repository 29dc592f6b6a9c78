import { afterEach, describe, expect, it } from 'vitest';

import { ago, dateTime, duration, quantity, zone, zoned } from './format.ts';
import { locale, tagOf } from './i18n/locale.svelte.ts';

afterEach(() => (locale.language = 'en'));

describe('quantity', () => {
  it('has as many digits as its unit deserves, in the language of the page', () => {
    expect(quantity(42.345, 'Cel')).toBe('42.3\u00a0°C');
    expect(quantity(12.0931, 'V')).toBe('12.093\u00a0V');
    expect(quantity(3410.4, 'RPM')).toBe('3,410\u00a0rpm');
    expect(quantity(1, '')).toBe('1.00');
    locale.language = 'de';
    expect(quantity(1234.5, 'W')).toBe('1.235\u00a0W');
    expect(quantity(42.345, 'Cel')).toBe('42,3\u00a0°C');
    expect(quantity(3410.4, 'RPM')).toBe('3.410\u00a0U/min');
  });
});

describe('duration', () => {
  it('says the two largest parts', () => {
    expect(duration(0)).toBe('0\u00a0s');
    expect(duration(59.6)).toBe('1\u00a0min');
    expect(duration(3_725)).toBe('1\u00a0h 2\u00a0min');
    expect(duration(90_000)).toBe('1\u00a0d 1\u00a0h');
    expect(duration(-5)).toBe('0\u00a0s');
  });
});

describe('ago', () => {
  it('knows past and future', () => {
    expect(ago(0, 30_000)).toBe('30 seconds ago');
    expect(ago(0, 0)).toBe('now');
    expect(ago(7_200_000, 0)).toBe('in 2 hours');
    expect(ago(0, 90_061_000)).toBe('yesterday');
  });

  it('says of nothing that just happened that it will', () => {
    expect(ago(1_400, 0)).toBe('now');
    expect(ago(1_600, 0)).toBe('in 2 seconds');
  });
});

describe('the locale', () => {
  it('is that of the browser, if it has the chosen language', () => {
    expect(tagOf('en', ['en-GB', 'en'])).toBe('en-GB');
    expect(tagOf('en', ['de-AT', 'en-US'])).toBe('en-US');
    expect(tagOf('de', ['de-AT', 'en-US'])).toBe('de-AT');
  });

  it('is one with dates that are read in one way only, if it has not', () => {
    expect(tagOf('en', ['fr-FR', 'en'])).toBe('en-GB');
    expect(tagOf('de', ['en-US'])).toBe('de');
    expect(tagOf('en', ['eng-XX'])).toBe('en-GB');
  });
});

describe('a time', () => {
  const ms = Date.UTC(2026, 10, 23, 18, 16, 45);

  it('tells its zone where it is asked for', () => {
    expect(zone(ms)).not.toBe('');
    expect(zoned(ms)).toContain(zone(ms));
    expect(dateTime(ms)).not.toContain(zone(ms));
  });
});
