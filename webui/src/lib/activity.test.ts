import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Activity } from './activity.ts';

describe('Activity', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it('takes what is asked for soon after a person did something for theirs, and nothing later', () => {
    const activity = new Activity();
    expect(activity.attended()).toBe(true); // somebody opened the page
    vi.advanceTimersByTime(10_000);
    expect(activity.attended()).toBe(false);
    activity.note();
    expect(activity.attended()).toBe(true);
    vi.advanceTimersByTime(9_999);
    expect(activity.attended()).toBe(true);
    vi.advanceTimersByTime(1);
    expect(activity.attended()).toBe(false);
  });

  it('has the BMC told of a person who needs no call, now and then', () => {
    const activity = new Activity();
    const told = vi.fn();
    const forget = activity.on(told);
    activity.note();
    activity.note();
    expect(told).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(15_000);
    activity.note();
    expect(told).toHaveBeenCalledTimes(2);
    vi.advanceTimersByTime(9_000);
    activity.attended(); // a call tells it as well
    vi.advanceTimersByTime(9_000);
    activity.note();
    expect(told).toHaveBeenCalledTimes(2);
    forget();
    vi.advanceTimersByTime(60_000);
    activity.note();
    expect(told).toHaveBeenCalledTimes(2);
  });

  it('looks at keys, pointers and scrolling of the window, as long as it shall', () => {
    const window = new EventTarget();
    vi.stubGlobal('window', window);
    const activity = new Activity();
    const stop = activity.start();
    for (const kind of ['pointerdown', 'keydown', 'wheel', 'touchstart']) {
      vi.advanceTimersByTime(60_000);
      expect(activity.attended()).toBe(false);
      window.dispatchEvent(new Event(kind));
      expect(activity.attended(), kind).toBe(true);
    }
    stop();
    vi.advanceTimersByTime(60_000);
    window.dispatchEvent(new Event('keydown'));
    expect(activity.attended()).toBe(false);
  });
});
