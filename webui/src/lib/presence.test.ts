import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';

import type { Entry, Group } from './nav.ts';
import { Presence } from './presence.svelte.ts';

const icon = (() => undefined) as unknown as Entry['icon'];
const always: Entry = { path: '/power', label: 'nav_power', icon };
const media: Entry = { path: '/media', label: 'nav_media', icon, service: 'kvmsrv' };

function made(names: () => string[] | Error, present?: () => Promise<unknown>): { presence: Presence; console: Entry } {
  const console: Entry = { path: '/console', label: 'nav_console', icon, service: 'consolesrv', present };
  const groups: Group[] = [{ label: 'g', entries: [always, console, media] }];
  const presence = new Presence(groups, async () => {
    const found = names();
    if (found instanceof Error) throw found;
    return { services: found.map((name) => ({ name })) };
  });
  return { presence, console };
}

describe('Presence', () => {
  it('shows what needs no service at once, and the rest when its service is there', async () => {
    const { presence, console } = made(() => ['consolesrv']);
    expect([always, console, media].map((each) => presence.shows(each))).toEqual([true, false, false]);
    await presence.refresh();
    expect([always, console, media].map((each) => presence.shows(each))).toEqual([true, true, false]);
  });

  it('hides what the service says is not there, and not what it just cannot tell', async () => {
    let said = Code.NotFound;
    const { presence, console } = made(
      () => ['consolesrv'],
      () => Promise.reject(new ConnectError('no', said)),
    );
    await presence.refresh();
    expect(presence.shows(console)).toBe(false);
    said = Code.Unavailable;
    await presence.refresh();
    expect(presence.shows(console)).toBe(true);
  });

  it('keeps what it knows while the BMC does not answer', async () => {
    let names: string[] | Error = ['consolesrv'];
    const { presence, console } = made(() => names);
    await presence.refresh();
    names = new ConnectError('away', Code.Unavailable);
    await presence.refresh();
    expect(presence.shows(console)).toBe(true);
    names = [];
    await presence.refresh();
    expect(presence.shows(console)).toBe(false);
  });
});
