import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';

import { Severity } from '#lib/gen/ubmc/v1alpha1/event_kind_pb.ts';
import { EventSchema } from '#lib/gen/ubmc/v1alpha1/event_pb.ts';

import { isNews } from './news.ts';

describe('news', () => {
  test.each([
    ['Session.Login', Severity.OK, false],
    ['Session.Login', Severity.WARNING, true],
    ['Audit.Call', Severity.OK, false],
    ['Console.Seen', Severity.OK, false],
    ['Console.Seen', Severity.CRITICAL, true],
    ['Host.StateChanged', Severity.OK, true],
    ['User.Locked', Severity.OK, true],
  ])('%s of severity %s: %s', (messageId, severity, wanted) => {
    expect(isNews(create(EventSchema, { messageId, severity }))).toBe(wanted);
  });
});
