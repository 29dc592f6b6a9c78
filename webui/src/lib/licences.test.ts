import { describe, expect, it } from 'vitest';

import { found, type Licence } from './licences.ts';

const ALL: Licence[] = [
  { part: 'bmc', name: 'nats-server', version: '2.15.1', licence: 'Apache-2.0' },
  { part: 'bmc', name: 'pydantic', version: '2.14.3', licence: 'MIT' },
  { part: 'pages', name: 'svelte', version: '5.57.3', licence: 'MIT' },
];
const names = (words: string): string[] => found(ALL, words).map((each) => each.name);

describe('found', () => {
  it.each([
    ['', ['nats-server', 'pydantic', 'svelte']],
    ['  ', ['nats-server', 'pydantic', 'svelte']],
    ['mit', ['pydantic', 'svelte']],
    ['MIT 5.57', ['svelte']],
    ['nats', ['nats-server']],
    ['gpl', []],
  ])('looks for every word in names, versions and licences: "%s"', (words, expected) => {
    expect(names(words)).toEqual(expected);
  });
});
