import { Code, ConnectError } from '@connectrpc/connect';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Link, waitBefore } from './link.svelte.ts';

const down = (): Promise<never> => Promise.reject(new ConnectError('no answer', Code.Unavailable));

describe('waitBefore', () => {
  it('waits longer each time, up to a bound, and never alike for all', () => {
    expect([0, 1, 2, 3, 4, 5, 50].map((tries) => waitBefore(tries, 0))).toEqual([
      250, 500, 1000, 2000, 3000, 5000, 5000,
    ]);
    expect(waitBefore(50, 1)).toBe(6250);
  });
});

describe('Link', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('says that it is lost while there is no answer, and live as soon as there is one', async () => {
    const probe = vi.fn(down);
    const link = new Link(probe);
    const dead = vi.fn();
    link.onDead(dead);
    link.start();
    await vi.advanceTimersByTimeAsync(10);
    expect(link.state).toBe('lost');
    expect(link.lostSince).toBeGreaterThan(0);
    expect(dead).toHaveBeenCalledTimes(1);
    probe.mockImplementation(() => Promise.resolve() as Promise<never>);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(link.state).toBe('live');
    expect(link.lostSince).toBe(0);
    expect(dead).toHaveBeenCalledTimes(1);
    link.stop();
  });

  it('asks once for all that wait', async () => {
    let answer: () => void = () => undefined;
    const probe = vi.fn(() => new Promise<void>((resolve) => (answer = resolve)));
    const link = new Link(probe);
    const waiting = Promise.all([link.reached(), link.reached(), link.reached()]);
    answer();
    await waiting;
    expect(probe).toHaveBeenCalledTimes(1);
  });

  it('tries at once when a person asks for it', async () => {
    const probe = vi.fn(down);
    const link = new Link(probe);
    link.start();
    await vi.advanceTimersByTimeAsync(60_000);
    const tries = probe.mock.calls.length;
    link.retry();
    await vi.advanceTimersByTimeAsync(1);
    expect(probe.mock.calls.length).toBe(tries + 1);
    link.stop();
  });

  it('looks by itself when nothing was heard for a while', async () => {
    const probe = vi.fn(() => Promise.resolve());
    const link = new Link(probe);
    link.start();
    await vi.advanceTimersByTimeAsync(15_000);
    expect(probe).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(15_000);
    expect(probe).toHaveBeenCalledTimes(2);
    link.stop();
  });

  it('gives up when nobody is logged in, and begins anew with the next login', async () => {
    const probe = vi.fn((): Promise<void> => Promise.reject(new ConnectError('log in', Code.Unauthenticated)));
    const link = new Link(probe);
    link.start();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(probe).toHaveBeenCalledTimes(1);
    expect(link.state).toBe('connecting');
    probe.mockImplementation(() => Promise.resolve());
    link.start();
    await vi.advanceTimersByTimeAsync(1);
    expect(link.state).toBe('live');
    link.stop();
  });
});
