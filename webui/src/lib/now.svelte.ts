/** The time of now, for "3 seconds ago" and countdowns: one timer for the whole page, only while something looks. */
import { createSubscriber } from 'svelte/reactivity';

let current = Date.now();
const subscribe = createSubscriber((update) => {
  const timer = setInterval(() => {
    current = Date.now();
    update();
  }, 1000);
  return () => clearInterval(timer);
});

export const now = {
  /** Milliseconds since 1970, renewed each second. */
  get ms(): number {
    subscribe();
    // the timer may have stood still while nothing looked
    if (Date.now() - current > 1500) current = Date.now();
    return current;
  },
};
