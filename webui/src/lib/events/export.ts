/** Events as files, CSV and JSON: the same forms as those of `ubmc event export`. */
import { toJson, toJsonString } from '@bufbuild/protobuf';
import { TimestampSchema } from '@bufbuild/protobuf/wkt';

import { csv } from '#lib/csv.ts';
import { Severity } from '#lib/gen/ubmc/v1alpha1/event_kind_pb.ts';
import { EventSchema, type Event } from '#lib/gen/ubmc/v1alpha1/event_pb.ts';

export const TITLES = [
  'id',
  'time',
  'severity',
  'component',
  'message_id',
  'message',
  'cause',
  'user',
  'trace_id',
  'ulid',
  'arguments'
] as const;

function sorted(fields: Record<string, string>): string {
  const names = Object.keys(fields).sort();
  return names.length ? JSON.stringify(Object.fromEntries(names.map((name) => [name, fields[name]]))) : '';
}

function cells(event: Event): string[] {
  return [
    String(event.id),
    event.time ? String(toJson(TimestampSchema, event.time)) : '',
    (Severity[event.severity] ?? String(event.severity)).toLowerCase(),
    event.component,
    event.messageId,
    event.message,
    event.cause?.kind ?? '',
    event.cause?.user ?? '',
    event.cause?.traceId ?? '',
    event.ulid,
    sorted(event.arguments)
  ];
}

export function toCsv(events: readonly Event[]): string {
  return csv(TITLES, events.map(cells));
}

/** One JSON document, `{"events": [...]}`, an event a line. */
export function toJsonDocument(events: readonly Event[]): string {
  return `{"events": [\n${events.map((event) => toJsonString(EventSchema, event)).join(',\n')}\n]}\n`;
}
