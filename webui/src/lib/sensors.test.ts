import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';

import { SensorKind, SensorLevel, SensorQuality, SensorSchema, type Sensor } from './gen/ubmc/v1alpha1/sensor_pb.ts';
import { bounds, grouped, hottest, isAlarm, matches, place, watched } from './sensors.ts';

function sensor(name: string, more: Partial<Sensor> = {}): Sensor {
  return create(SensorSchema, {
    name,
    kind: SensorKind.TEMPERATURE,
    quality: SensorQuality.GOOD,
    level: SensorLevel.NORMAL,
    ...(more as object),
  });
}

const everything = { search: '', kind: SensorKind.UNSPECIFIED, only: 'all' } as const;

describe('matches', () => {
  it('takes every word of the search, in name or component', () => {
    const cpu = sensor('cpu0_temp', { component: 'host.0' });
    expect(matches(cpu, { ...everything, search: 'HOST cpu' })).toBe(true);
    expect(matches(cpu, { ...everything, search: 'cpu psu' })).toBe(false);
  });

  it('knows alarms: by level, and by a quality that nobody asked for', () => {
    const broken = sensor('a', { quality: SensorQuality.FAILED, level: SensorLevel.UNSPECIFIED });
    const absent = sensor('b', { quality: SensorQuality.UNAVAILABLE, level: SensorLevel.UNSPECIFIED });
    expect([broken, absent, sensor('c', { level: SensorLevel.WARNING })].map(isAlarm)).toEqual([true, false, true]);
    expect(matches(absent, { ...everything, only: 'available' })).toBe(false);
  });
});

describe('grouped', () => {
  it('keeps the order of kinds and of names', () => {
    const groups = grouped([sensor('v', { kind: SensorKind.VOLTAGE }), sensor('a'), sensor('b')]);
    expect(groups.map((each) => [each.kind, each.sensors.map((one) => one.name)])).toEqual([
      [SensorKind.TEMPERATURE, ['a', 'b']],
      [SensorKind.VOLTAGE, ['v']],
    ]);
  });
});

describe('bounds', () => {
  it('goes from the lowest limit to the highest, and stays within', () => {
    const found = bounds(sensor('a', { thresholds: { upperWarning: 70, upperFatal: 100, lowerCritical: 0 } as never }));
    expect(found).toEqual({ low: 0, high: 100 });
    expect([place(-5, { low: 0, high: 100 }), place(25, { low: 0, high: 100 }), place(300, { low: 0, high: 100 })]).toEqual([
      0, 0.25, 1,
    ]);
  });

  it('is not there without a limit', () => {
    expect(bounds(sensor('a'))).toBeUndefined();
  });
});

describe('hottest', () => {
  it('puts what is nearest to its limit first, not what is warmest', () => {
    const drive = sensor('drive', { value: 48, thresholds: { upperWarning: 50 } as never });
    const cpu = sensor('cpu', { value: 60, thresholds: { upperWarning: 90 } as never });
    const free = sensor('free', { value: 99 });
    const off = sensor('off', { value: 200, quality: SensorQuality.STALE });
    expect(hottest([free, cpu, off, drive], 2).map((each) => each.name)).toEqual(['drive', 'cpu']);
  });
});

describe('watched', () => {
  it('lists limits from the highest to the lowest, also one of zero', () => {
    const { thresholds } = sensor('a', { thresholds: { lowerWarning: 0, upperCritical: 9 } as never });
    expect(watched(thresholds)).toEqual([
      ['upperCritical', 9],
      ['lowerWarning', 0],
    ]);
  });
});
