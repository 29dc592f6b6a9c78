/** Which events the overview tells: what happened to the machine, and not each visit and each line. Pure. */
import { Severity } from '#lib/gen/ubmc/v1alpha1/event_kind_pb.ts';
import type { Event } from '#lib/gen/ubmc/v1alpha1/event_pb.ts';

// of these there are many, and each tells little; the event log has them all
const CHATTER: ReadonlySet<string> = new Set([
  'Audit.Call',
  'Console.Attached',
  'Console.Detached',
  'Console.Seen',
  'Session.Ended',
  'Session.Login',
]);

export function isNews(event: Event): boolean {
  return event.severity > Severity.OK || !CHATTER.has(event.messageId);
}
