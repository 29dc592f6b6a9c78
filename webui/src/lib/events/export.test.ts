import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';

import { safeCell } from '#lib/csv.ts';
import { Severity } from '#lib/gen/ubmc/v1alpha1/event_kind_pb.ts';
import { EventSchema } from '#lib/gen/ubmc/v1alpha1/event_pb.ts';

import { toCsv, toJsonDocument } from './export.ts';

const event = create(EventSchema, {
  id: 17n,
  ulid: '01KAZ3T0N3W8Q5JH0V3M2E7R9C',
  time: timestampFromMs(1_769_860_800_120),
  severity: Severity.WARNING,
  component: 'host.0',
  messageId: 'Host.News',
  message: 'he said "no", then\nleft',
  arguments: { name: 'host.0', b: '2' },
  cause: { kind: 'user', user: 'admin', traceId: 'abc' },
});

describe('export', () => {
  test('CSV', () => {
    expect(toCsv([event])).toBe(
      'id,time,severity,component,message_id,message,cause,user,trace_id,ulid,arguments\r\n' +
        '17,2026-01-31T12:00:00.120Z,warning,host.0,Host.News,"he said ""no"", then\ufffdleft",user,admin,abc,' +
        '01KAZ3T0N3W8Q5JH0V3M2E7R9C,"{""b"":""2"",""name"":""host.0""}"\r\n',
    );
  });

  test.each(['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '  =1', '\r=1'])('no spreadsheet obeys %j', (text) => {
    expect(safeCell(text)).toMatch(/^'/);
  });

  test('what turns text around is taken out', () => {
    expect(safeCell('a\u202eb\u0000c')).toBe('a\ufffdb\ufffdc');
  });

  test('JSON is one document, an event a line', () => {
    const text = toJsonDocument([event, event]);
    expect((JSON.parse(text) as { events: { id: string }[] }).events.map((each) => each.id)).toEqual(['17', '17']);
    expect(text.split('\n')).toHaveLength(5);
  });

  test('an empty log is a document too', () => {
    expect(JSON.parse(toJsonDocument([]))).toEqual({ events: [] });
  });
});
