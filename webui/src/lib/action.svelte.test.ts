import { Code, ConnectError } from '@connectrpc/connect';
import { flushSync } from 'svelte';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Action, Loaded } from './action.svelte.ts';
import { FakeLink } from './live/back.fake.ts';

const away = new ConnectError('no answer', Code.Unavailable);
const denied = new ConnectError('this needs more', Code.PermissionDenied);

describe('Action', () => {
  it('runs one call at a time and says how it went', async () => {
    let end: (error?: Error) => void = () => undefined;
    const calls: string[] = [];
    const action = new Action((given: string) => {
      calls.push(given);
      return new Promise<void>((resolve, reject) => (end = (error) => (error ? reject(error) : resolve())));
    });
    const first = action.run('a');
    expect(action.busy).toBe(true);
    expect(await action.run('b')).toBe(false);
    expect(calls).toEqual(['a']);
    end(denied);
    expect(await first).toBe(false);
    expect([action.busy, action.problem?.message]).toEqual([false, 'this needs more']);
    const again = action.run('c');
    expect(action.problem).toBeUndefined();
    end();
    expect(await again).toBe(true);
  });

  it('forgets a problem when asked to', async () => {
    const action = new Action(() => Promise.reject(denied));
    await action.run();
    expect(action.field('name')).toBe('');
    action.clear();
    expect(action.problem).toBeUndefined();
  });
});

describe('Loaded', () => {
  let stop: () => void = () => undefined;
  let link: FakeLink;

  beforeEach(() => {
    vi.useFakeTimers();
    link = new FakeLink();
  });
  afterEach(() => {
    stop();
    vi.useRealTimers();
  });

  /** As a component makes it. */
  function loaded<T>(load: () => Promise<T>): Loaded<T> {
    let made: Loaded<T> | undefined;
    stop = $effect.root(() => {
      made = new Loaded(load, link);
    });
    flushSync();
    return made as Loaded<T>;
  }

  it('reads at once, and again when the BMC is back', async () => {
    let value = 1;
    const load = vi.fn(() => Promise.resolve(value));
    const found = loaded(load);
    await vi.advanceTimersByTimeAsync(1);
    expect([found.value, found.busy]).toEqual([1, false]);
    value = 2;
    await vi.advanceTimersByTimeAsync(600_000);
    expect(load).toHaveBeenCalledTimes(1);
    link.back();
    await vi.advanceTimersByTimeAsync(1);
    expect(found.value).toBe(2);
  });

  it('reads again by itself when nobody answered, and keeps the problem until it can', async () => {
    let error: Error | undefined = away;
    const load = vi.fn(() => (error ? Promise.reject(error) : Promise.resolve('list')));
    link.up = false;
    const found = loaded(load);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(load).toHaveBeenCalledTimes(1);
    expect(found.problem?.message).toBe('no answer');
    error = undefined;
    link.back();
    await vi.advanceTimersByTimeAsync(1_000);
    expect([found.value, found.problem]).toEqual(['list', undefined]);
  });

  it('tries less and less often while only one service is away', async () => {
    const load = vi.fn(() => Promise.reject(away));
    loaded(load);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(load.mock.calls.length).toBeGreaterThan(8);
    expect(load.mock.calls.length).toBeLessThan(20);
  });

  it('does not ask again for what was refused', async () => {
    const load = vi.fn(() => Promise.reject(denied));
    const found = loaded(load);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(load).toHaveBeenCalledTimes(1);
    expect(found.problem?.message).toBe('this needs more');
  });

  it('ends with its component', async () => {
    const load = vi.fn(() => Promise.reject(away));
    loaded(load);
    await vi.advanceTimersByTimeAsync(10);
    expect(link.listeners).toBe(1);
    stop();
    expect(link.listeners).toBe(0);
    const calls = load.mock.calls.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(load).toHaveBeenCalledTimes(calls);
  });

  it('takes the later of two readings', async () => {
    const ends: ((value: string) => void)[] = [];
    const found = loaded(() => new Promise<string>((resolve) => ends.push(resolve)));
    const second = found.refresh();
    ends[1]?.('second');
    ends[0]?.('first');
    await second;
    await vi.advanceTimersByTimeAsync(1);
    expect([found.value, found.busy]).toEqual(['second', false]);
  });
});
