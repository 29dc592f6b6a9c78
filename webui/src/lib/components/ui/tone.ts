/** How something is, at a glance: always an icon and words, the colour only helps. */
import CircleAlert from '@lucide/svelte/icons/circle-alert';
import CircleCheck from '@lucide/svelte/icons/circle-check';
import CircleHelp from '@lucide/svelte/icons/circle-question-mark';
import CircleMinus from '@lucide/svelte/icons/circle-minus';
import Info from '@lucide/svelte/icons/info';
import LoaderCircle from '@lucide/svelte/icons/loader-circle';
import OctagonAlert from '@lucide/svelte/icons/octagon-alert';
import type { Component } from 'svelte';

export type Tone = 'ok' | 'warning' | 'critical' | 'info' | 'muted' | 'unknown' | 'busy';

export const TONES: Record<Tone, { icon: Component; text: string; soft: string }> = {
  ok: { icon: CircleCheck, text: 'text-ok', soft: 'bg-ok-soft text-ok' },
  warning: { icon: CircleAlert, text: 'text-warning', soft: 'bg-warning-soft text-warning' },
  critical: { icon: OctagonAlert, text: 'text-critical', soft: 'bg-critical-soft text-critical' },
  info: { icon: Info, text: 'text-info', soft: 'bg-info-soft text-info' },
  muted: { icon: CircleMinus, text: 'text-muted-foreground', soft: 'bg-muted text-muted-foreground' },
  unknown: { icon: CircleHelp, text: 'text-muted-foreground', soft: 'bg-muted text-muted-foreground' },
  busy: { icon: LoaderCircle, text: 'text-info', soft: 'bg-info-soft text-info' },
};
