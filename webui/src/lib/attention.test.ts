import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';

import { concerns, type Facts } from './attention.ts';
import { HostSchema, HostState } from './gen/ubmc/v1alpha1/host_pb.ts';
import { AssetSchema } from './gen/ubmc/v1alpha1/inventory_pb.ts';
import { SensorLevel, SensorQuality, SensorSchema } from './gen/ubmc/v1alpha1/sensor_pb.ts';
import { ServiceHealthSchema, ServiceState } from './gen/ubmc/v1alpha1/system_pb.ts';
import {
  CoolingDeviceSchema,
  CoolingDeviceState,
  ThermalZoneSchema,
  ThermalZoneState,
} from './gen/ubmc/v1alpha1/thermal_pb.ts';

const NONE: Facts = { hosts: [], sensors: [], zones: [], devices: [], assets: [], services: [] };
const GOOD = { level: SensorLevel.NORMAL, quality: SensorQuality.GOOD };

function told(facts: Partial<Facts>): [string, string, string][] {
  return concerns({ ...NONE, ...facts }).map((each) => [each.tone, each.text, each.path]);
}

const host = (state: HostState, tripReason = '') => create(HostSchema, { name: 'host.0', state, tripReason });
const zone = (state: ThermalZoneState) => create(ThermalZoneSchema, { name: 'cpu', state, reasons: ['cpu0_temp is stale'] });
const fan = (state: CoolingDeviceState) => create(CoolingDeviceSchema, { name: 'fan.0', state });
const sensor = (about: object) => create(SensorSchema, { name: 'a b', ...GOOD, ...about });
const asset = (about: object) => create(AssetSchema, { name: 'psu.0', present: true, ...about });
const service = (state: ServiceState) => create(ServiceHealthSchema, { name: 'ledmgr', state, reason: 'it failed' });

describe('what needs attention', () => {
  test('is nothing while all is well', () => {
    const facts = {
      hosts: [HostState.ON, HostState.OFF, HostState.POWERING_ON, HostState.RESTARTING].map((each) => host(each)),
      zones: [zone(ThermalZoneState.NORMAL), zone(ThermalZoneState.MANUAL)],
      devices: [fan(CoolingDeviceState.OK), fan(CoolingDeviceState.ABSENT)],
      // what belongs to a host that is off is not there, and that is no fault
      sensors: [sensor({}), sensor({ quality: SensorQuality.UNAVAILABLE })],
      assets: [asset({}), asset({ present: false })],
      services: [service(ServiceState.READY)],
    };
    expect(told(facts)).toEqual([]);
  });

  test.each<[string, Partial<Facts>, [string, string, string]]>([
    ['a trip', { hosts: [host(HostState.OFF, 'too hot')] }, ['critical', 'host.0: the thermal trip has cut its power', '/power']],
    ['a host of which nobody knows', { hosts: [host(HostState.UNKNOWN)] }, ['warning', 'Whether host.0 is on is not known', '/power']],
    ['a zone', { zones: [zone(ThermalZoneState.FAIL_SAFE)] }, ['warning', 'Cooling zone cpu: Fail-safe', '/cooling']],
    ['a hot zone', { zones: [zone(ThermalZoneState.OVERHEATED)] }, ['critical', 'Cooling zone cpu: Overheated', '/cooling']],
    ['a slow fan', { devices: [fan(CoolingDeviceState.SLOW)] }, ['warning', 'fan.0: Slow', '/cooling']],
    ['a seized fan', { devices: [fan(CoolingDeviceState.SEIZED)] }, ['critical', 'fan.0: Seized', '/cooling']],
    ['an alarm', { sensors: [sensor({ level: SensorLevel.FATAL })] }, ['critical', 'a b is Fatal', '/sensors?sensor=a%20b']],
    ['a broken sensor', { sensors: [sensor({ quality: SensorQuality.FAILED })] }, ['warning', 'a b is Failed', '/sensors?sensor=a%20b']],
    ['a stale one', { sensors: [sensor({ quality: SensorQuality.STALE })] }, ['warning', 'a b is Stale', '/sensors?sensor=a%20b']],
    ['a part', { assets: [asset({ faults: ['bad checksum'] })] }, ['warning', 'What psu.0 says of itself is faulty', '/inventory?asset=psu.0']],
    ['a service', { services: [service(ServiceState.DEGRADED)] }, ['critical', 'Service ledmgr is Degraded', '/about']],
  ])('is %s', (_, facts, wanted) => {
    expect(told(facts)).toEqual([wanted]);
  });

  test('comes the gravest first, each with an id of its own and the reason', () => {
    const all = concerns({
      ...NONE,
      hosts: [host(HostState.UNKNOWN, 'too hot')],
      zones: [zone(ThermalZoneState.FAIL_SAFE)],
      devices: [fan(CoolingDeviceState.SEIZED)],
      sensors: [sensor({ level: SensorLevel.WARNING })],
      services: [service(ServiceState.STARTING)],
    });
    expect(all.map((each) => each.tone)).toEqual(['critical', 'critical', 'warning', 'warning', 'warning', 'busy']);
    expect(new Set(all.map((each) => each.id)).size).toBe(all.length);
    expect(all.map((each) => each.detail)).toContain('cpu0_temp is stale');
  });
});
