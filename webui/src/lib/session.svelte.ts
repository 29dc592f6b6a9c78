/** Who is logged in, and what they may do. The server decides; here is only what is worth offering. */
import type { DescMethod } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';

import { onUnauthenticated, privilegeOf, sessionMark, sessions } from './api.ts';
import { Privilege } from './gen/ubmc/v1alpha1/access_pb.ts';
import { problemOf } from './problem.ts';

export type Standing = 'unknown' | 'out' | 'must-change-password' | 'must-set-up-second-factor' | 'in';

interface Facts {
  session?: { id: string; user: string; role: string };
  mustChangePassword: boolean;
  mustSetUpSecondFactor: boolean;
  privileges: readonly Privilege[];
}

/** What a session needs of the world; tests give another one. */
export interface World {
  sessions: Pick<typeof sessions, 'getCurrentSession' | 'login' | 'logout'>;
  /** What tells sessions of this browser apart without being their secret; empty if there is none. */
  mark(): string;
  onUnauthenticated(listener: () => void): void;
  /** Begins anew, with nothing of what is here. */
  reload(): void;
}

const BROWSER: World = { sessions, mark: sessionMark, onUnauthenticated, reload: () => location.reload() };
const LOOK_MS = 5_000;

export class Session {
  standing = $state<Standing>('unknown');
  id = $state('');
  user = $state('');
  role = $state('');
  /** It ended while it was used: by the clock, by somebody, or with another tab. */
  ended = $state(false);
  #privileges = $state.raw<ReadonlySet<Privilege>>(new Set());
  readonly #world: World;
  #mark = '';

  constructor(world: World = BROWSER) {
    this.#world = world;
    world.onUnauthenticated(() => this.#leave(true));
  }

  /** Asks who is logged in, unless that is known. Raises what the BMC answers but "nobody". */
  async load(): Promise<void> {
    if (this.standing === 'unknown') await this.refresh();
  }

  /** Asks who is logged in. */
  async refresh(): Promise<void> {
    const mark = this.#world.mark();
    if (!mark) {
      this.#leave(false);
      return;
    }
    try {
      this.#take(await this.#world.sessions.getCurrentSession({}), mark);
    } catch (error) {
      if (problemOf(error).code !== Code.Unauthenticated) throw error;
      this.#leave(false);
    }
  }

  /**
   * Asks who is logged in, as a sign of life. If that is somebody else by now, who logged in in another tab, the page
   * begins anew: what it shows and offers is not theirs.
   */
  async look(): Promise<void> {
    const mark = this.#world.mark();
    const current = await this.#world.sessions.getCurrentSession({}, { timeoutMs: LOOK_MS });
    if (this.standing !== 'in') return; // who logged out meanwhile stays logged out
    if (current.session?.id !== this.id) this.#world.reload();
    else this.#take(current, mark);
  }

  /** This browser has another session by now, or none. */
  get doubtful(): boolean {
    return this.standing === 'in' && this.#world.mark() !== this.#mark;
  }

  /** Opens a session; the token becomes a cookie that no script can read. */
  async login(user: string, password: string, oneTimeCode: string): Promise<void> {
    await this.#world.sessions.login({ user, password, oneTimeCode }, { headers: { 'x-session-cookie': '1' } });
    this.ended = false;
    await this.refresh();
  }

  /** Ends the session. Raises why it did not end; then its person is still logged in. */
  async logout(): Promise<void> {
    try {
      await this.#world.sessions.logout({});
    } catch (error) {
      if (problemOf(error).code !== Code.Unauthenticated) throw error;
    }
    this.#leave(false);
  }

  has(privilege: Privilege): boolean {
    return this.#privileges.has(privilege);
  }

  #take(facts: Facts, mark: string): void {
    this.#mark = mark;
    this.#privileges = new Set(facts.privileges);
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
