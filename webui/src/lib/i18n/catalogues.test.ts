import { afterEach, describe, expect, it } from 'vitest';

import { catalogue, type Texts } from './catalogue.ts';
import { locale } from './locale.svelte.ts';

afterEach(() => (locale.language = 'en'));

// every module beside this one that exports texts
const modules = import.meta.glob<Record<string, unknown>>('./*.ts', { eager: true });
const catalogues = Object.entries(modules).flatMap(([file, exported]) =>
  Object.values(exported)
    .filter((each): each is Texts<object> => typeof each === 'function' && 'languages' in each)
    .map((texts) => [file, texts.languages] as const),
);
const values = (text: string): string[] => (text.match(/\{\w+\}/g) ?? []).sort();

describe('every catalogue', () => {
  it('is found', () => {
    expect(catalogues.length).toBeGreaterThanOrEqual(7);
  });

  it.each(catalogues)('%s says the same in both languages', (_, { en, de }) => {
    expect(Object.keys(de).sort()).toEqual(Object.keys(en).sort());
    for (const [key, text] of Object.entries(en)) {
      expect(values(de[key] ?? ''), key).toEqual(values(text));
      expect(text.trim(), key).not.toBe('');
      expect((de[key] ?? '').trim(), key).not.toBe('');
    }
  });
});

describe('what is counted', () => {
  it.each(catalogues)('%s has both forms', (_, { en }) => {
    const forms = Object.keys(en).filter((key) => /_(one|other)$/.test(key));
    const names = [...new Set(forms.map((key) => key.replace(/_(one|other)$/, '')))];
    expect(forms.sort()).toEqual(names.flatMap((name) => [`${name}_one`, `${name}_other`]).sort());
    for (const key of forms) expect(values(en[key] ?? ''), key).toContain('{count}');
  });
});

describe('catalogue', () => {
  const t = catalogue(
    { hello: 'Hello {name}', n_one: '{count} thing', n_other: '{count} things' },
    { hello: 'Hallo {name}', n_one: '{count} Ding', n_other: '{count} Dinge' },
  );

  it('puts values in as they are, also odd ones', () => {
    expect(t('hello', { name: '{count} $& <b>' })).toBe('Hello {count} $& <b>');
  });

  it('counts in the language of the page', () => {
    expect([0, 1, 1500].map((count) => t.count('n', count))).toEqual(['0 things', '1 thing', '1,500 things']);
    locale.language = 'de';
    expect([1, 1500].map((count) => t.count('n', count))).toEqual(['1 Ding', '1.500 Dinge']);
  });
});
