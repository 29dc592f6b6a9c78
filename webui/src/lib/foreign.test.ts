import { describe, expect, test } from 'vitest';

import { visible } from './foreign.ts';

describe('text of strangers', () => {
  test('what can be seen stays as it is', () => {
    expect(visible('<img src=x onerror=alert(1)> "><script> Größe 日本 שלום')).toBe(
      '<img src=x onerror=alert(1)> "><script> Größe 日本 שלום',
    );
  });

  test('what turns text around or controls a terminal is written out', () => {
    expect(visible('a\u202eb\u2066c\x1b[31m\u200b\n')).toBe('a\\u202eb\\u2066c\\x1b[31m\\u200b\\x0a');
  });
});
