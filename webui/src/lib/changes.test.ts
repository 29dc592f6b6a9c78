import { describe, expect, test } from 'vitest';

import { changedPaths, pathOf } from './changes.ts';

describe('what a form changed', () => {
  test.each([
    ['minPasswordLength', 'min_password_length'],
    ['caPem', 'ca_pem'],
    ['enabled', 'enabled'],
  ])('%s is %s in the schema', (key, path) => {
    expect(pathOf(key)).toBe(path);
  });

  test('only what differs', () => {
    const before = { hostName: 'a', dnsServers: ['x'], domain: 'd' };
    const after = { hostName: 'b', dnsServers: ['x'], domain: 'd' };
    expect(changedPaths(before, after, ['hostName', 'dnsServers', 'domain'])).toEqual(['host_name']);
    expect(changedPaths(before, { ...before, dnsServers: [] }, ['hostName', 'dnsServers'])).toEqual(['dns_servers']);
  });
});
