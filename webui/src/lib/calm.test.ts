import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { calm } from './calm.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('many calls are one, and later ones another', () => {
  const what = vi.fn();
  const soon = calm(what, 100);
  for (let call = 0; call < 50; call++) soon();
  expect(what).not.toHaveBeenCalled();
  vi.advanceTimersByTime(100);
  expect(what).toHaveBeenCalledTimes(1);
  soon();
  vi.advanceTimersByTime(100);
  expect(what).toHaveBeenCalledTimes(2);
});
