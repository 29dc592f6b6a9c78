/** Privileges, in the order in which they are shown. */
import { Privilege } from '#lib/gen/ubmc/v1alpha1/access_pb.ts';
import { users } from '#lib/i18n/users.ts';

export const PRIVILEGES = [
  Privilege.LOGIN,
  Privilege.CONFIGURE_COMPONENTS,
  Privilege.CONFIGURE_MANAGER,
  Privilege.CONFIGURE_USERS,
  Privilege.CONFIGURE_SELF,
] as const;

/** Part of every role. */
export const ALWAYS: ReadonlySet<Privilege> = new Set([Privilege.LOGIN, Privilege.CONFIGURE_SELF]);

export function privilegeText(privilege: Privilege): string {
  return users.of(`privilege_${privilege}`);
}
