/** Who is logged in, and what they may do. The server decides; here is only what is worth offering. */
import type { DescMethod } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';

import { mayHaveSession, onUnauthenticated, privilegeOf, sessions } from './api.ts';
import { Privilege } from './gen/ubmc/v1alpha1/access_pb.ts';
import { problemOf } from './problem.ts';

export type Standing = 'unknown' | 'out' | 'must-change-password' | 'must-set-up-second-factor' | 'in';

interface Facts {
  session?: { id: string; user: string; role: string };
  mustChangePassword: boolean;
  mustSetUpSecondFactor: boolean;
}

class Session {
  standing = $state<Standing>('unknown');
  id = $state('');
  user = $state('');
  role = $state('');
  /** It ended while it was used: by the clock, by somebody, or with another tab. */
  ended = $state(false);
  #privileges = $state.raw<ReadonlySet<Privilege>>(new Set());

  constructor() {
    onUnauthenticated(() => this.#leave(true));
  }

  /** Asks who is logged in, unless that is known. Raises what the BMC answers but "nobody". */
  async load(): Promise<void> {
    if (this.standing === 'unknown') await this.refresh();
  }

  /** Asks who is logged in. */
  async refresh(): Promise<void> {
    if (!mayHaveSession()) {
      this.#leave(false);
      return;
    }
    try {
      const current = await sessions.getCurrentSession({});
      this.#take(current);
      this.#privileges = new Set(current.privileges);
    } catch (error) {
      if (problemOf(error).code !== Code.Unauthenticated) throw error;
      this.#leave(false);
    }
  }

  /** Opens a session; the token becomes a cookie that no script can read. */
  async login(user: string, password: string, oneTimeCode: string): Promise<void> {
    await sessions.login({ user, password, oneTimeCode }, { headers: { 'x-session-cookie': '1' } });
    this.ended = false;
    await this.refresh();
  }

  async logout(): Promise<void> {
    try {
      await sessions.logout({});
    } finally {
      this.#leave(false);
    }
  }

  has(privilege: Privilege): boolean {
    return this.#privileges.has(privilege);
  }

  #take(facts: Facts): void {
    this.id = facts.session?.id ?? '';
    this.user = facts.session?.user ?? '';
    this.role = facts.session?.role ?? '';
    if (facts.mustChangePassword) this.standing = 'must-change-password';
    else if (facts.mustSetUpSecondFactor) this.standing = 'must-set-up-second-factor';
    else this.standing = 'in';
  }

  #leave(ended: boolean): void {
    const was = this.standing !== 'out' && this.standing !== 'unknown';
    this.ended ||= ended && was;
    this.standing = 'out';
    this.#privileges = new Set();
  }
}

export const session = new Session();

/** Whether the schema lets this person's role make the call. */
export function may(method: DescMethod): boolean {
  const privilege = privilegeOf(method);
  return privilege === undefined || session.has(privilege);
}
