/** Numbers, units and times as people of the chosen language read them. */
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { timestampMs } from '@bufbuild/protobuf/wkt';

import { locale } from './i18n/locale.svelte.ts';

// UCUM, as the API has it, to what people write
const UNITS: Record<string, string> = { Cel: '°C', RPM: 'rpm', 'L/min': 'l/min' };
const DIGITS: Record<string, number> = { Cel: 1, V: 3, A: 2, RPM: 0, W: 1, J: 0, '%': 1, Pa: 0, 'L/min': 1 };

export function unitOf(unit: string): string {
  if (unit === 'RPM' && locale.language === 'de') return 'U/min';
  return UNITS[unit] ?? unit;
}

const numbers = new Map<string, Intl.NumberFormat>();

export function number(value: number, digits = 0): string {
  const key = `${locale.tag} ${digits}`;
  let made = numbers.get(key);
  if (!made) {
    made = new Intl.NumberFormat(locale.tag, { minimumFractionDigits: digits, maximumFractionDigits: digits });
    numbers.set(key, made);
  }
  return made.format(value);
}

/** A reading without its unit, with as many digits as the unit deserves. */
export function reading(value: number, unit: string): string {
  const digits = DIGITS[unit] ?? 2;
  return number(value, Math.abs(value) >= 1000 ? 0 : digits);
}

/** A reading with its unit. */
export function quantity(value: number, unit: string): string {
  return `${reading(value, unit)}${unit ? `\u00a0${unitOf(unit)}` : ''}`;
}

export function milliseconds(time: Timestamp | undefined): number | undefined {
  return time ? timestampMs(time) : undefined;
}

const times = new Map<string, Intl.DateTimeFormat>();

const KINDS = {
  full: { dateStyle: 'medium', timeStyle: 'medium' },
  zoned: { dateStyle: 'medium', timeStyle: 'long' },
  clock: { timeStyle: 'medium' },
  zone: { timeZoneName: 'short' },
} as const satisfies Record<string, Intl.DateTimeFormatOptions>;

function formatter(kind: keyof typeof KINDS): Intl.DateTimeFormat {
  const key = `${locale.tag} ${kind}`;
  let made = times.get(key);
  if (!made) {
    made = new Intl.DateTimeFormat(locale.tag, KINDS[kind]);
    times.set(key, made);
  }
  return made;
}

/** Date and time of day, in the time zone of the browser. */
export function dateTime(ms: number): string {
  return formatter('full').format(ms);
}

/** Date and time of day, and which zone that is. */
export function zoned(ms: number): string {
  return formatter('zoned').format(ms);
}

/** The time zone of the browser at a time: `CET`, `UTC+1`. */
export function zone(ms: number): string {
  return formatter('zone').formatToParts(ms).find((part) => part.type === 'timeZoneName')?.value ?? '';
}

/** Time of day. */
export function clock(ms: number): string {
  return formatter('clock').format(ms);
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
];

// the pages read the clock once a second
const BEHIND_SECONDS = 1;

/** How long ago, or in how long: "3 minutes ago". What just happened is not said to come. */
export function ago(ms: number, now: number): string {
  const passed = Math.round((ms - now) / 1000);
  const seconds = passed > 0 && passed <= BEHIND_SECONDS ? 0 : passed;
  const [unit, size] = STEPS.find(([, step]) => Math.abs(seconds) >= step) ?? ['second' as const, 1];
  return new Intl.RelativeTimeFormat(locale.tag, { numeric: 'auto' }).format(Math.trunc(seconds / size), unit);
}

/** A length of time, short: `2 d 3 h`, `4 min 5 s`, `12 s`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const parts: [number, string][] = [
    [Math.floor(whole / 86_400), 'd'],
    [Math.floor((whole % 86_400) / 3_600), 'h'],
    [Math.floor((whole % 3_600) / 60), 'min'],
    [whole % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return '0\u00a0s';
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${number(count)}\u00a0${unit}`)
    .join(' ');
}
