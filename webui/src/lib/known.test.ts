import { Code } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';

import { asSource, standing } from './known.ts';
import type { Problem } from './problem.ts';

const away: Problem = { code: Code.Unavailable, message: 'sensormon is away', fields: {}, traceId: '' };
const none: Problem = { code: Code.NotFound, message: 'this board has none', fields: {}, traceId: '' };

describe('standing', () => {
  it('is known only if all of it is', () => {
    const told = { known: true, problem: undefined };
    expect(standing([told, told])).toEqual({ known: true, reason: '' });
    expect(standing([told, { known: false, problem: undefined }])).toEqual({ known: false, reason: '' });
    expect(standing([told, { known: false, problem: away }])).toEqual({ known: false, reason: 'sensormon is away' });
  });

  it('takes what the board does not have for known', () => {
    expect(standing([{ known: true, problem: none }])).toEqual({ known: true, reason: '' });
  });
});

describe('asSource', () => {
  it('is not known before the first answer, and not any more when a later one is a refusal', () => {
    expect(asSource({ value: undefined, problem: undefined }, true).known).toBe(false);
    expect(asSource({ value: [], problem: undefined }, true).known).toBe(true);
    expect(asSource({ value: [], problem: away }, true)).toEqual({ known: false, problem: away });
  });

  it('leaves it to the page to say that nobody answers', () => {
    expect(asSource({ value: undefined, problem: away }, false)).toEqual({ known: false, problem: undefined });
    expect(asSource({ value: [], problem: away }, false).known).toBe(true);
  });
});
