import { describe, expect, test } from 'vitest';

import { Draft } from './draft.svelte.ts';

interface Port {
  name: string;
  mtu: number;
  enabled: boolean;
  addresses: string[];
}

const port: Port = { name: 'eth0', mtu: 1500, enabled: true, addresses: ['192.0.2.1/24'] };
const KEYS = ['mtu', 'enabled', 'addresses'] as const;

describe('draft of a form', () => {
  test('nothing is changed in the beginning, and what was given is not touched', () => {
    const draft = new Draft(port, KEYS);
    expect(draft.changed).toEqual([]);
    draft.now.addresses.push('192.0.2.2/24');
    expect(draft.changed).toEqual(['addresses']);
    expect(port.addresses).toEqual(['192.0.2.1/24']);
  });

  test('what is read anew throws no edit away, and changes all else', () => {
    const draft = new Draft(port, KEYS);
    draft.now.mtu = 9000;
    draft.follow({ ...port, mtu: 1400, enabled: false });
    expect(draft.given()).toEqual({ mtu: 9000, enabled: false, addresses: ['192.0.2.1/24'] });
    expect(draft.paths).toEqual(['mtu']);
  });

  test('an edit that somebody else made too is none any longer', () => {
    const draft = new Draft(port, KEYS);
    draft.now.mtu = 9000;
    draft.follow({ ...port, mtu: 9000 });
    expect(draft.changed).toEqual([]);
  });

  test('what was saved follows again, also if the BMC made something else of it', () => {
    const draft = new Draft(port, KEYS);
    draft.now.addresses = ['192.0.2.9/24 '];
    draft.kept();
    expect(draft.changed).toEqual([]);
    draft.follow({ ...port, addresses: ['192.0.2.9/24'] });
    expect(draft.now.addresses).toEqual(['192.0.2.9/24']);
    expect(draft.changed).toEqual([]);
  });

  test('two forms have nothing of each other', () => {
    const one = new Draft(port, KEYS);
    const other = new Draft(port, KEYS);
    one.now.addresses[0] = 'x';
    expect(other.now.addresses).toEqual(['192.0.2.1/24']);
  });
});
