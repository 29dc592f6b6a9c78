import { session } from '#lib/session.svelte.ts';

import type { PageLoad } from './$types';

/** Who is logged in already needs no login; that the BMC does not answer is said by the page. */
export const load: PageLoad = async () => {
  try {
    await session.load();
    return { reached: true };
  } catch {
    return { reached: false };
  }
};
