import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';

import { Severity } from '#lib/gen/ubmc/v1alpha1/event_kind_pb.ts';
import { EventSchema } from '#lib/gen/ubmc/v1alpha1/event_pb.ts';

import { EVERYTHING, fromQuery, isEverything, matches, toQuery } from './filter.ts';

const event = create(EventSchema, {
  severity: Severity.WARNING,
  component: 'host.0',
  messageId: 'Host.News',
  time: timestampFromMs(Date.parse('2026-01-31T12:00')),
});

describe('filter of events', () => {
  test('goes into the address and back', () => {
    const wanted = {
      severity: 'warning' as const,
      component: 'host',
      kind: 'Host.News',
      since: '2026-01-31T00:00',
      until: '',
    };
    expect(fromQuery(toQuery(wanted))).toEqual(wanted);
    expect(isEverything(fromQuery(new URLSearchParams()))).toBe(true);
  });

  test('an address means the same moment in every time zone', () => {
    const here = process.env.TZ;
    try {
      process.env.TZ = 'Asia/Kolkata';
      const query = toQuery({ ...EVERYTHING, since: '2026-01-31T12:00', until: '2026-07-31T12:00' });
      expect(query.get('since')).toBe('2026-01-31T06:30Z');
      process.env.TZ = 'Europe/Berlin';
      expect(fromQuery(query)).toEqual({ ...EVERYTHING, since: '2026-01-31T07:30', until: '2026-07-31T08:30' });
    } finally {
      if (here === undefined) delete process.env.TZ;
      else process.env.TZ = here;
    }
  });

  test('nonsense in an address is left out', () => {
    const query = new URLSearchParams({ severity: '<b>', since: 'yesterday', until: '+275760-09-13T00:00Z', component: 'x'.repeat(99) });
    expect(fromQuery(query)).toEqual({ ...EVERYTHING, component: 'x'.repeat(64) });
  });

  test.each([
    [{}, true],
    [{ severity: 'warning' as const }, true],
    [{ severity: 'critical' as const }, false],
    [{ component: 'host' }, true],
    [{ component: 'host.0' }, true],
    [{ component: 'hos' }, false],
    [{ kind: 'Host' }, true],
    [{ kind: 'Host.New' }, false],
    [{ since: '2026-01-31T12:00' }, true],
    [{ since: '2026-01-31T12:01' }, false],
    [{ until: '2026-01-31T12:00' }, false],
    [{ until: '2026-01-31T12:01' }, true],
  ])('%j is %s', (part, wanted) => {
    expect(matches(event, { ...EVERYTHING, ...part })).toBe(wanted);
  });
});
