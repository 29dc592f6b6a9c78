/** Which events are wanted: as the address of the page has it, as the API has it, and as a test of one event. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';

import { Severity } from '#lib/gen/ubmc/v1alpha1/event_kind_pb.ts';
import type { Event, EventFilterSchema } from '#lib/gen/ubmc/v1alpha1/event_pb.ts';

export interface Wanted {
  /** At least as grave as this; `''` is all. */
  severity: '' | 'warning' | 'critical';
  component: string;
  kind: string;
  /** Local times as `<input type="datetime-local">` has them; empty is without a bound. */
  since: string;
  until: string;
}

export const EVERYTHING: Wanted = { severity: '', component: '', kind: '', since: '', until: '' };
const LONGEST = 64;
const LEAST: Record<Wanted['severity'], Severity> = {
  '': Severity.UNSPECIFIED,
  warning: Severity.WARNING,
  critical: Severity.CRITICAL,
};

function moment(local: string): number | undefined {
  const ms = local ? Date.parse(local) : NaN;
  return Number.isNaN(ms) ? undefined : ms;
}

/** What an address asks for; what makes no sense in it is left out. */
export function fromQuery(query: Pick<URLSearchParams, 'get'>): Wanted {
  const severity = query.get('severity') ?? '';
  const time = (name: string): string => {
    const value = query.get(name) ?? '';
    return moment(value) === undefined ? '' : value;
  };
  return {
    severity: severity === 'warning' || severity === 'critical' ? severity : '',
    component: (query.get('component') ?? '').slice(0, LONGEST),
    kind: (query.get('kind') ?? '').slice(0, LONGEST),
    since: time('since'),
    until: time('until'),
  };
}

export function toQuery(wanted: Wanted): URLSearchParams {
  return new URLSearchParams(Object.entries(wanted).filter(([, value]) => value !== ''));
}

export function isEverything(wanted: Wanted): boolean {
  return Object.values(wanted).every((value) => value === '');
}

export function toFilter(wanted: Wanted): MessageInitShape<typeof EventFilterSchema> {
  const since = moment(wanted.since);
  const until = moment(wanted.until);
  return {
    severity: LEAST[wanted.severity],
    component: wanted.component.trim(),
    messageId: wanted.kind.trim(),
    since: since === undefined ? undefined : timestampFromMs(since),
    until: until === undefined ? undefined : timestampFromMs(until),
  };
}

function below(name: string, wanted: string): boolean {
  return wanted === '' || name === wanted || name.startsWith(`${wanted}.`);
}

/** Whether a new event is among them; the same rules as the server's. */
export function matches(event: Event, wanted: Wanted): boolean {
  const ms = event.time ? timestampMs(event.time) : 0;
  const since = moment(wanted.since);
  const until = moment(wanted.until);
  return (
    event.severity >= LEAST[wanted.severity] &&
    below(event.component, wanted.component.trim()) &&
    below(event.messageId, wanted.kind.trim()) &&
    (since === undefined || ms >= since) &&
    (until === undefined || ms < until)
  );
}
