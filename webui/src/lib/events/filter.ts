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
/** The length of `2026-01-31T12:00`. */
const LOCAL = 16;
const YEAR = /^\d{4}-/;
const LEAST: Record<Wanted['severity'], Severity> = {
  '': Severity.UNSPECIFIED,
  warning: Severity.WARNING,
  critical: Severity.CRITICAL,
};

function moment(text: string): number | undefined {
  const ms = YEAR.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(ms) ? undefined : ms;
}

/** A time in UTC as the time of day where the browser is, and the other way round; to the minute. */
function localTime(utc: string): string {
  const ms = moment(utc);
  if (ms === undefined) return '';
  return new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, LOCAL);
}

function utcTime(local: string): string {
  const ms = moment(local);
  return ms === undefined ? '' : `${new Date(ms).toISOString().slice(0, LOCAL)}Z`;
}

/** What an address asks for; what makes no sense in it is left out. */
export function fromQuery(query: Pick<URLSearchParams, 'get'>): Wanted {
  const severity = query.get('severity') ?? '';
  const time = (name: string): string => localTime(query.get(name) ?? '');
  return {
    severity: severity === 'warning' || severity === 'critical' ? severity : '',
    component: (query.get('component') ?? '').slice(0, LONGEST),
    kind: (query.get('kind') ?? '').slice(0, LONGEST),
    since: time('since'),
    until: time('until'),
  };
}

/** The address has times in UTC: a link shows the same events in another time zone. */
export function toQuery(wanted: Wanted): URLSearchParams {
  const told = { ...wanted, since: utcTime(wanted.since), until: utcTime(wanted.until) };
  return new URLSearchParams(Object.entries(told).filter(([, value]) => value !== ''));
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
