/** How grave an event is, as colour and words. */
import type { Tone } from '#lib/components/ui/tone.ts';
import { Severity } from '#lib/gen/ubmc/v1alpha1/event_kind_pb.ts';
import { events } from '#lib/i18n/events.ts';

export function severityTone(severity: Severity): Tone {
  if (severity === Severity.CRITICAL) return 'critical';
  if (severity === Severity.WARNING) return 'warning';
  return severity === Severity.OK ? 'ok' : 'unknown';
}

export function severityText(severity: Severity): string {
  if (severity === Severity.CRITICAL) return events('critical');
  if (severity === Severity.WARNING) return events('warning');
  return severity === Severity.OK ? events('ok') : events('unspecified');
}
