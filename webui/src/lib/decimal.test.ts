import { afterEach, describe, expect, test } from 'vitest';

import { decimal, decimalText } from './decimal.ts';
import { locale } from './i18n/locale.svelte.ts';

afterEach(() => (locale.language = 'en'));

const NONE = ['', 'warm', 'Infinity', '-Infinity', 'NaN', '0x10', '1e3', '0b1', '1_000', '1 000', '.5', '5.', '1.2.3', '--1', '١'];

describe('a decimal number', () => {
  test.each([
    ['42', 42],
    [' 42.5 ', 42.5],
    ['-0.25', -0.25],
    ['+7', 7],
    ['1500', 1500],
  ])('%j is one in every language', (text, value) => {
    expect(decimal(text)).toBe(value);
    locale.language = 'de';
    expect(decimal(text)).toBe(value);
  });

  test.each(NONE)('%j is none', (text) => {
    expect(decimal(text)).toBeUndefined();
    locale.language = 'de';
    expect(decimal(text)).toBeUndefined();
  });

  test('a comma is read where the language writes it', () => {
    expect(decimal('1,5')).toBeUndefined();
    locale.language = 'de';
    expect(decimal('1,5')).toBe(1.5);
    expect(decimal('1,500')).toBe(1.5);
    expect(decimal('1.500')).toBeUndefined();
  });

  test.each([0, 42, -5, 11.4, 3.3000001, 1500, 123456.75, 1e15, 0.000001])('%d is written so that it is read', (value) => {
    for (const language of ['en', 'de'] as const) {
      locale.language = language;
      expect(decimal(decimalText(value))).toBe(value);
    }
  });
});
