import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { poll } from './poll.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('poll', () => {
  test('asks once at a time, however slow the answer is', async () => {
    const answers: ((enough: boolean) => void)[] = [];
    const ask = vi.fn(() => new Promise<boolean>((resolve) => answers.push(resolve)));
    const stop = poll(ask, 1000);
    await vi.advanceTimersByTimeAsync(9_000);
    expect(ask).toHaveBeenCalledTimes(1);
    answers[0]?.(false);
    await vi.advanceTimersByTimeAsync(999);
    expect(ask).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(ask).toHaveBeenCalledTimes(2);
    stop();
  });

  test('ends when it is enough', async () => {
    const ask = vi.fn(async () => true);
    poll(ask, 1000);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(ask).toHaveBeenCalledTimes(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('goes on after a failure', async () => {
    const ask = vi.fn(async () => {
      throw new Error('no answer');
    });
    const stop = poll(ask, 1000);
    await vi.advanceTimersByTimeAsync(3_500);
    expect(ask).toHaveBeenCalledTimes(3);
    stop();
  });

  test('stopped, it ends the question that is open and asks no other', async () => {
    let signal: AbortSignal | undefined;
    const ask = vi.fn((given: AbortSignal) => {
      signal = given;
      return new Promise<boolean>((_, reject) => given.addEventListener('abort', () => reject(new Error('aborted'))));
    });
    const stop = poll(ask, 1000);
    await vi.advanceTimersByTimeAsync(1000);
    stop();
    await vi.advanceTimersByTimeAsync(5000);
    expect(signal?.aborted).toBe(true);
    expect(ask).toHaveBeenCalledTimes(1);
  });
});
