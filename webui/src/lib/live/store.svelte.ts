/** The things of one topic, and how it stands with them. */
import { Code, type ConnectError } from '@connectrpc/connect';

import { LiveState, type LiveTopicState } from '../gen/ubmc/v1alpha1/live_pb.ts';
import { problemOf, type Problem } from '../problem.ts';
import { arrived } from './arrival.ts';
import { Items, type Told } from './items.svelte.ts';
import type { LinkState } from './link.svelte.ts';

// what a browser says of a connection that broke, and what the page says by leaving
const ELSEWHERE = new Set([Code.Unknown, Code.Canceled, Code.Aborted, Code.Unauthenticated]);
const CODES: Partial<Record<LiveState, Code>> = {
  [LiveState.AWAY]: Code.Unavailable,
  [LiveState.ABSENT]: Code.NotFound,
  [LiveState.DENIED]: Code.PermissionDenied,
};

export class Store<T extends object> extends Items<T> {
  /** What is here is all that the BMC knew when it was heard last; else nobody can say that something is missing. */
  known = $state(false);
  #refused = $state.raw<Problem>();
  readonly #link: { readonly state: LinkState };
  readonly #look: () => () => void;

  /** `look` has the topic told, and gives the way to end that. */
  constructor(link: { readonly state: LinkState }, look: () => () => void) {
    super();
    this.#link = link;
    this.#look = look;
  }

  /** Why it is not told although the BMC answers; that it does not answer is shown once for all. */
  get problem(): Problem | undefined {
    return this.#link.state === 'live' ? this.#refused : undefined;
  }

  /** Looks at it; gives the way to look away: `$effect(() => live.sensors.use())`. */
  use(): () => void {
    return this.#look();
  }

  override take(news: Iterable<readonly [string, T]>, told: Told): void {
    const all = [...news];
    for (const [, thing] of all) arrived(thing);
    super.take(all, told);
  }

  /** Takes in how it stands with the topic. */
  stands({ state, message }: Pick<LiveTopicState, 'state' | 'message'>): void {
    const code = CODES[state];
    this.known = state === LiveState.SETTLED || state === LiveState.ABSENT;
    this.#refused = code === undefined ? undefined : { code, message, fields: {}, traceId: '' };
    if (state === LiveState.AWAY) this.again();
  }

  /** The whole stream broke; what is known stays so while only nobody answers. */
  broke(error: ConnectError | undefined): void {
    if (!error || ELSEWHERE.has(error.code)) return;
    this.#refused = problemOf(error);
    this.known = false;
  }

  /** Forgets everything: somebody else may log in. */
  reset(): void {
    this.clear();
    this.known = false;
    this.#refused = undefined;
  }
}
