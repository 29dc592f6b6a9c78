import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { afterEach, describe, expect, it } from 'vitest';

import { cookie } from './api.ts';
import { FieldPathElementSchema, ViolationsSchema } from './gen/buf/validate/validate_pb.ts';
import { locale } from './i18n/locale.svelte.ts';
import { isAbsent, problemOf } from './problem.ts';

afterEach(() => (locale.language = 'en'));

function violation(path: string[], message: string) {
  return { message, field: { elements: path.map((fieldName) => create(FieldPathElementSchema, { fieldName })) } };
}

describe('problemOf', () => {
  it('gives the words of the server, the trace, and each field its own message', () => {
    const error = new ConnectError('two things', Code.InvalidArgument, { 'trace-id': 'abc' }, [
      {
        desc: ViolationsSchema,
        value: create(ViolationsSchema, {
          violations: [
            violation(['policy', 'min_password_length'], 'policy.minPasswordLength: at least 8'),
            violation(['oneTimeCode'], 'is wrong'),
            violation(['oneTimeCode'], 'and late'),
          ],
        }),
      },
    ]);
    expect(problemOf(error)).toEqual({
      code: Code.InvalidArgument,
      message: 'two things',
      traceId: 'abc',
      fields: { 'policy.minPasswordLength': 'at least 8', oneTimeCode: 'is wrong' },
    });
  });

  it('reads what is no error of the server too', () => {
    expect(problemOf(new Error('a mistake of these pages')).message).toBe('a mistake of these pages');
    expect(problemOf(new TypeError('x is undefined')).message).toBe('x is undefined');
  });

  it.each([
    [new TypeError('Failed to fetch'), 'Der BMC ist nicht zu erreichen.'],
    [new TypeError('NetworkError when attempting to fetch resource.'), 'Der BMC ist nicht zu erreichen.'],
    [new TypeError('Load failed'), 'Der BMC ist nicht zu erreichen.'],
    [new ConnectError('HTTP 503', Code.Unavailable, { server: 'x' }), 'Der BMC ist nicht zu erreichen.'],
    [new ConnectError('the operation timed out', Code.DeadlineExceeded), 'Der BMC hat nicht rechtzeitig geantwortet.'],
    [new DOMException('The user aborted a request.', 'AbortError'), 'Der Aufruf wurde abgebrochen.'],
    [new ConnectError('HTTP 404', Code.Unimplemented), '(HTTP 404)'],
  ])('what was lost on the way has words in the language of the page: %s', (error, words) => {
    locale.language = 'de';
    expect(problemOf(error).message).toContain(words);
  });

  it.each([Code.DeadlineExceeded, Code.Canceled, Code.Aborted, Code.Unknown, Code.Unavailable])(
    'what the server said stays what it said: %s',
    (code) => {
      locale.language = 'de';
      expect(problemOf(new ConnectError('statemgr is busy', code, { 'trace-id': 'abc' })).message).toBe('statemgr is busy');
      expect(problemOf(new ConnectError('too many', code, { 'retry-after': '3' })).message).toBe('too many');
    },
  );
});

describe('isAbsent', () => {
  it('is so only for what is not there', () => {
    expect([Code.NotFound, Code.Unimplemented, Code.Unavailable].map((code) => isAbsent(new ConnectError('', code)))).toEqual(
      [true, true, false],
    );
  });
});

describe('cookie', () => {
  it('finds exactly the name', () => {
    expect(cookie('b', 'ab=1; b=2=3; c=4')).toBe('2=3');
    expect(cookie('x', '')).toBe('');
  });
});
