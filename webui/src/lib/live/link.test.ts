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
    const [dead, back] = [vi.fn(), vi.fn()];
    link.onDead(dead);
    link.onBack(back);
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
    expect(back).toHaveBeenCalledTimes(1);
    await link.reached();
    expect(back).toHaveBeenCalledTimes(1);
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

describe('Link, seen or not', () => {
  /** A document that is looked at, or not. */
  class Tab extends EventTarget {
    visibilityState = 'visible';

    show(state: 'visible' | 'hidden'): void {
      this.visibilityState = state;
      this.dispatchEvent(new Event('visibilitychange'));
    }
  }

  let tab: Tab;

  beforeEach(() => {
    vi.useFakeTimers();
    tab = new Tab();
    vi.stubGlobal('window', new EventTarget());
    vi.stubGlobal('document', tab);
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it('ends what is open when nobody has seen the page for a while, and goes on when somebody looks', async () => {
    const probe = vi.fn(() => Promise.resolve());
    const link = new Link(probe);
    const [dead, back] = [vi.fn(), vi.fn()];
    link.onDead(dead);
    link.onBack(back);
    link.start();
    await vi.advanceTimersByTimeAsync(1);
    tab.show('hidden');
    await vi.advanceTimersByTimeAsync(9_000);
    expect(dead).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(dead).toHaveBeenCalledTimes(1);
    const asked = probe.mock.calls.length;
    const reached = vi.fn();
    void link.reached().then(reached);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(probe).toHaveBeenCalledTimes(asked);
    expect(reached).not.toHaveBeenCalled();
    tab.show('visible');
    await vi.advanceTimersByTimeAsync(1);
    expect(reached).toHaveBeenCalledTimes(1);
    expect(back).toHaveBeenCalledTimes(1);
    link.stop();
  });

  it('does nothing for who only went to another tab and back', async () => {
    const link = new Link(() => Promise.resolve());
    const [dead, back] = [vi.fn(), vi.fn()];
    link.onDead(dead);
    link.onBack(back);
    link.start();
    await vi.advanceTimersByTimeAsync(1);
    for (let round = 0; round < 5; round++) {
      tab.show('hidden');
      await vi.advanceTimersByTimeAsync(5_000);
      tab.show('visible');
      await vi.advanceTimersByTimeAsync(8_000);
    }
    expect(dead).not.toHaveBeenCalled();
    expect(back).not.toHaveBeenCalled();
    link.stop();
  });

  it('asks for nothing in a tab that was opened behind another, until somebody looks', async () => {
    tab.visibilityState = 'hidden';
    const probe = vi.fn(() => Promise.resolve());
    const link = new Link(probe);
    link.start();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(probe).not.toHaveBeenCalled();
    tab.show('visible');
    await vi.advanceTimersByTimeAsync(1);
    expect(link.state).toBe('live');
    link.stop();
  });

  it('asks at once, nearly, when there is a doubt', async () => {
    let doubt = false;
    const probe = vi.fn(async () => void (doubt = false));
    const link = new Link(probe, () => doubt);
    link.start();
    await vi.advanceTimersByTimeAsync(1);
    const beat = setInterval(() => link.heard(), 1_000); // streams that never are silent
    await vi.advanceTimersByTimeAsync(60_000);
    expect(probe).toHaveBeenCalledTimes(1);
    doubt = true;
    await vi.advanceTimersByTimeAsync(5_000);
    expect(probe).toHaveBeenCalledTimes(2);
    clearInterval(beat);
    link.stop();
  });
});
