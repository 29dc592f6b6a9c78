/** The one link of these pages to the BMC. Its sign of life is who is logged in: that it is still the same person. */
import { session } from '../session.svelte.ts';
import { Link } from './link.svelte.ts';

export const link = new Link(
  () => session.look(),
  () => session.doubtful,
);
