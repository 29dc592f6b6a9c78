import { redirect } from '@sveltejs/kit';

import { UserService } from '#lib/gen/ubmc/v1alpha1/user_pb.ts';
import { may } from '#lib/session.svelte.ts';

import type { PageLoad } from './$types';

/** Who may not list accounts gets to the own one. */
export const load: PageLoad = async ({ parent }) => {
  await parent();
  if (!may(UserService.method.listUsers)) redirect(307, '/users/me');
};
