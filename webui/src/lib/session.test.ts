import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, it, vi } from 'vitest';

import { Privilege } from './gen/ubmc/v1alpha1/access_pb.ts';
import {
  GetCurrentSessionResponseSchema,
  LoginResponseSchema,
  LogoutResponseSchema,
  type GetCurrentSessionResponse,
} from './gen/ubmc/v1alpha1/session_pb.ts';
import { Session, type World } from './session.svelte.ts';

const OLGA = { id: 's1', user: 'olga', role: 'Operator' };
const ANNA = { id: 's2', user: 'anna', role: 'Administrator' };
const nobody = new ConnectError('log in first', Code.Unauthenticated);
const away = new ConnectError('no answer', Code.Unavailable);

/** A BMC and a browser that this test turns. */
class Fake implements World {
  cookie = 'mark-1';
  answer: Partial<GetCurrentSessionResponse> | Error = { privileges: [Privilege.LOGIN] };
  out: Error | undefined;
  reload = vi.fn();
  lost: () => void = () => undefined;
  who: typeof OLGA | undefined = OLGA;

  sessions = {
    getCurrentSession: async () => {
      if (this.answer instanceof Error) throw this.answer;
      return create(GetCurrentSessionResponseSchema, { session: this.who, ...this.answer } as object);
    },
    login: async () => create(LoginResponseSchema, {}),
    logout: async () => {
      if (this.out) throw this.out;
      return create(LogoutResponseSchema, {});
    },
  };

  mark(): string {
    return this.cookie;
  }

  onUnauthenticated(listener: () => void): void {
    this.lost = listener;
  }
}

async function begun(): Promise<[Session, Fake]> {
  const world = new Fake();
  const session = new Session(world);
  await session.load();
  return [session, world];
}

describe('Session', () => {
  it('knows who is logged in, and what they may do', async () => {
    const [session] = await begun();
    expect([session.standing, session.user, session.role]).toEqual(['in', 'olga', 'Operator']);
    expect(session.has(Privilege.LOGIN)).toBe(true);
    expect(session.has(Privilege.CONFIGURE_USERS)).toBe(false);
  });

  it('asks nobody while there is no session in the browser', async () => {
    const world = new Fake();
    world.cookie = '';
    world.answer = new Error('asked all the same');
    const session = new Session(world);
    await session.load();
    expect(session.standing).toBe('out');
  });

  it('raises that the BMC does not answer, and then nobody is in or out', async () => {
    const world = new Fake();
    world.answer = away;
    const session = new Session(world);
    await expect(session.load()).rejects.toThrow('no answer');
    expect(session.standing).toBe('unknown');
    world.answer = {};
    await session.load();
    expect(session.standing).toBe('in');
  });

  it('says what has to be done first', async () => {
    const world = new Fake();
    const session = new Session(world);
    world.answer = { mustSetUpSecondFactor: true };
    await session.refresh();
    expect(session.standing).toBe('must-set-up-second-factor');
    world.answer = { mustChangePassword: true, mustSetUpSecondFactor: true };
    await session.refresh();
    expect(session.standing).toBe('must-change-password');
  });

  it('is over only when the BMC has ended it', async () => {
    const [session, world] = await begun();
    world.out = away;
    await expect(session.logout()).rejects.toThrow('no answer');
    expect([session.standing, session.has(Privilege.LOGIN)]).toEqual(['in', true]);
    world.out = undefined;
    await session.logout();
    expect([session.standing, session.ended, session.has(Privilege.LOGIN)]).toEqual(['out', false, false]);
  });

  it('is over as well when it had ended before', async () => {
    const [session, world] = await begun();
    world.out = nobody;
    await session.logout();
    expect(session.standing).toBe('out');
  });

  it('says that it ended while it was used, until the next login', async () => {
    const [session, world] = await begun();
    world.lost();
    expect([session.standing, session.ended]).toEqual(['out', true]);
    await session.login('olga', 'secret', '');
    expect([session.standing, session.ended]).toEqual(['in', false]);
  });

  it('begins anew when somebody else has logged in in another tab', async () => {
    const [session, world] = await begun();
    await session.look();
    expect(world.reload).not.toHaveBeenCalled();
    expect(session.doubtful).toBe(false);
    world.cookie = 'mark-2';
    world.who = ANNA;
    expect(session.doubtful).toBe(true);
    await session.look();
    expect(world.reload).toHaveBeenCalledTimes(1);
    expect(session.user).toBe('olga'); // until then nothing is shown as the other's
  });

  it('doubts when another tab has logged out, and learns of other privileges', async () => {
    const [session, world] = await begun();
    world.answer = { privileges: [Privilege.LOGIN, Privilege.CONFIGURE_USERS] };
    await session.look();
    expect(session.has(Privilege.CONFIGURE_USERS)).toBe(true);
    world.cookie = '';
    expect(session.doubtful).toBe(true);
  });

  it('stays over when an answer comes late', async () => {
    const [session] = await begun();
    const late = session.look();
    await session.logout();
    await late;
    expect(session.standing).toBe('out');
  });
});
