import { afterEach, describe, expect, it } from 'vitest';

import { withLabels } from './fields.ts';
import { locale } from './locale.svelte.ts';

import.meta.glob('./*.ts', { eager: true });
const pages = import.meta.glob<string>('../components/**/*.svelte', { eager: true, query: '?raw', import: 'default' });

afterEach(() => (locale.language = 'en'));

describe('withLabels', () => {
  it('puts the label behind each field that a refusal names', () => {
    expect(withLabels('must be above upperWarning, which is 42')).toBe('must be above upperWarning (Upper warning), which is 42');
    expect(withLabels('set outgoingToLocal in the security policy')).toMatch(/^set outgoingToLocal \(Requests that users name/);
    expect(withLabels('ldap.userDnTemplate: is needed, or userBaseDn')).toBe(
      'ldap.userDnTemplate (Name of a user in the directory): is needed, or userBaseDn (Where users are searched for)',
    );
  });

  it('does so in the language of the page', () => {
    locale.language = 'de';
    expect(withLabels('upperWarning')).toBe('upperWarning (Obere Warnung)');
  });

  it.each(['the port is taken', 'role, name and security', 'see example.assetTag2', 'hostName'])('leaves other words: %s', (text) => {
    expect(withLabels(text)).toBe(text);
  });
});

describe('forms', () => {
  const paths = Object.values(pages).flatMap((text) => [...text.matchAll(/\.field\('([\w.]+)'\)/g)].map((found) => found[1] ?? ''));
  const named = [...new Set(paths)].filter((path) => /[a-z][A-Z0-9]/.test(path.slice(path.lastIndexOf('.') + 1)));

  it.each(named)('have a label for %s', (path) => {
    expect(named.length).toBeGreaterThan(20);
    expect(withLabels(path)).toMatch(/ \(.+\)$/);
  });
});
