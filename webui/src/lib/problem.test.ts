import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';

import { cookie } from './api.ts';
import { FieldPathElementSchema, ViolationsSchema } from './gen/buf/validate/validate_pb.ts';
import { isAbsent, problemOf } from './problem.ts';

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
    expect(problemOf(new TypeError('Failed to fetch')).message).toBe('Failed to fetch');
  });
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
