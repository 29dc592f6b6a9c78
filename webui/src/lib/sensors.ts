/** How sensors are picked, grouped and drawn. Pure. */
import { SensorKind, SensorLevel, SensorQuality, type Sensor, type SensorThresholds } from './gen/ubmc/v1alpha1/sensor_pb.ts';

export type Only = 'all' | 'available' | 'alarms';

export interface Choice {
  search: string;
  kind: SensorKind;
  only: Only;
}

/** The limits, from the highest to the lowest. */
export const LIMITS = [
  'upperFatal',
  'upperCritical',
  'upperWarning',
  'lowerWarning',
  'lowerCritical',
  'lowerFatal',
] as const;
export type Limit = (typeof LIMITS)[number];

export function isAlarm(sensor: Sensor): boolean {
  if (sensor.level > SensorLevel.NORMAL) return true;
  return (
    sensor.quality === SensorQuality.FAILED ||
    sensor.quality === SensorQuality.STALE ||
    sensor.quality === SensorQuality.IMPLAUSIBLE
  );
}

export function matches(sensor: Sensor, choice: Choice): boolean {
  if (choice.kind !== SensorKind.UNSPECIFIED && sensor.kind !== choice.kind) return false;
  if (choice.only === 'alarms' && !isAlarm(sensor)) return false;
  if (choice.only === 'available' && sensor.quality === SensorQuality.UNAVAILABLE) return false;
  const words = choice.search.toLowerCase().split(/\s+/).filter(Boolean);
  const text = `${sensor.name} ${sensor.component}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

/** The sensors by what they measure, in the order of the kinds. */
export function grouped(sensors: readonly Sensor[]): { kind: SensorKind; sensors: Sensor[] }[] {
  const groups = new Map<SensorKind, Sensor[]>();
  for (const sensor of sensors) {
    const group = groups.get(sensor.kind);
    if (group) group.push(sensor);
    else groups.set(sensor.kind, [sensor]);
  }
  return [...groups].sort(([a], [b]) => a - b).map(([kind, members]) => ({ kind, sensors: members }));
}

/** The bounds of a small picture of a reading within its limits; undefined for a sensor with no limit to be near to. */
export function bounds(sensor: Sensor): { low: number; high: number } | undefined {
  const limits = sensor.thresholds;
  const high = limits?.upperFatal ?? limits?.upperCritical ?? limits?.upperWarning;
  const low = limits?.lowerFatal ?? limits?.lowerCritical ?? limits?.lowerWarning;
  if (high === undefined && low === undefined) return undefined;
  const from = low ?? Math.min(sensor.rangeMinimum ?? 0, 0);
  const to = high ?? sensor.rangeMaximum ?? (low ?? 0) * 3;
  return to > from ? { low: from, high: to } : undefined;
}

/** Where a value is between bounds, from 0 to 1. */
export function place(value: number, { low, high }: { low: number; high: number }): number {
  return Math.min(1, Math.max(0, (value - low) / (high - low)));
}

/** How near a temperature is to the first limit above it, in degrees; infinite without one. */
export function margin(sensor: Sensor): number {
  const limit = sensor.thresholds?.upperWarning ?? sensor.thresholds?.upperCritical ?? sensor.thresholds?.upperFatal;
  return limit === undefined || sensor.value === undefined ? Infinity : limit - sensor.value;
}

/** The temperatures that are nearest to their limits, the nearest first; without limits, the hottest. */
export function hottest(sensors: readonly Sensor[], count: number): Sensor[] {
  return sensors
    .filter((each) => each.kind === SensorKind.TEMPERATURE && each.quality === SensorQuality.GOOD)
    .sort((a, b) => compare(margin(a), margin(b)) || (b.value ?? 0) - (a.value ?? 0))
    .slice(0, count);
}

function compare(a: number, b: number): number {
  return a === b ? 0 : a - b;
}

/** The limits that are watched, from the highest to the lowest. */
export function watched(thresholds: SensorThresholds | undefined): [Limit, number][] {
  return LIMITS.flatMap((limit) => {
    const value = thresholds?.[limit];
    return value === undefined ? [] : [[limit, value] satisfies [Limit, number]];
  });
}
