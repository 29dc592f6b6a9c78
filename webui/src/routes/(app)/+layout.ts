import { redirect } from '@sveltejs/kit';

import { session } from '#lib/session.svelte.ts';

import type { LayoutLoad } from './$types';

/** Only for those who are logged in; whoever is not comes back here after the login. */
export const load: LayoutLoad = async ({ url }) => {
  await session.load();
  if (session.standing === 'in') return;
  const next = url.pathname + url.search;
  redirect(307, next === '/' ? '/login' : `/login?next=${encodeURIComponent(next)}`);
};
