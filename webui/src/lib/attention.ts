/** What somebody should look at, the gravest first. Pure. */
import type { Tone } from './components/ui/tone.ts';
import { visible } from './foreign.ts';
import { HostState, type Host } from './gen/ubmc/v1alpha1/host_pb.ts';
import type { Asset } from './gen/ubmc/v1alpha1/inventory_pb.ts';
import type { Sensor } from './gen/ubmc/v1alpha1/sensor_pb.ts';
import { ServiceState, type ServiceHealth } from './gen/ubmc/v1alpha1/system_pb.ts';
import {
  CoolingDeviceState,
  ThermalZoneState,
  type CoolingDevice,
  type ThermalZone,
} from './gen/ubmc/v1alpha1/thermal_pb.ts';
import { t } from './i18n/overview.ts';
import {
  deviceState,
  deviceTone,
  sensorStatus,
  sensorTone,
  serviceState,
  serviceTone,
  zoneState,
  zoneTone,
} from './i18n/terms.ts';
import { isAlarm } from './sensors.ts';

export interface Concern {
  /** Of what it is about; unique. */
  id: string;
  tone: Tone;
  text: string;
  detail: string;
  /** The page that shows more. */
  path: string;
}

export interface Facts {
  hosts: readonly Host[];
  sensors: readonly Sensor[];
  zones: readonly ThermalZone[];
  devices: readonly CoolingDevice[];
  assets: readonly Asset[];
  services: readonly ServiceHealth[];
}

const WEIGHT: Partial<Record<Tone, number>> = { critical: 0, warning: 1 };

export function concerns(facts: Facts): Concern[] {
  const found: Concern[] = [
    ...facts.hosts
      .filter((each) => each.tripReason)
      .map(({ name, tripReason }) => ({
        id: `trip ${name}`,
        tone: 'critical' as const,
        text: t('trip', { name }),
        detail: tripReason,
        path: '/power',
      })),
    ...facts.hosts
      .filter((each) => each.state === HostState.UNKNOWN)
      .map(({ name }) => ({
        id: `host ${name}`,
        tone: 'warning' as const,
        text: t('host_unknown', { name }),
        detail: '',
        path: '/power',
      })),
    ...facts.zones
      .filter((each) => each.state === ThermalZoneState.FAIL_SAFE || each.state === ThermalZoneState.OVERHEATED)
      .map((each) => ({
        id: `zone ${each.name}`,
        tone: zoneTone(each.state),
        text: t('zone_is', { name: each.name, state: zoneState(each.state) }),
        detail: each.reasons[0] ?? '',
        path: '/cooling',
      })),
    ...facts.devices
      .filter((each) => each.state > CoolingDeviceState.OK && each.state !== CoolingDeviceState.ABSENT)
      .map((each) => ({
        id: `device ${each.name}`,
        tone: deviceTone(each.state),
        text: t('device_is', { name: each.name, state: deviceState(each.state) }),
        detail: each.location,
        path: '/cooling',
      })),
    ...facts.sensors.filter(isAlarm).map((each) => ({
      id: `sensor ${each.name}`,
      tone: sensorTone(each),
      text: t('sensor_is', { name: each.name, state: sensorStatus(each) }),
      detail: each.qualityReason,
      path: `/sensors?sensor=${encodeURIComponent(each.name)}`,
    })),
    // that a part is not there is no fault by itself; what misses it says so
    ...facts.assets
      .filter((each) => each.faults.length > 0)
      .map((each) => ({
        id: `asset ${each.name}`,
        tone: 'warning' as const,
        text: t('asset_faulty', { name: visible(each.name) }),
        detail: visible(each.faults[0] ?? ''),
        path: `/inventory?asset=${encodeURIComponent(each.name)}`,
      })),
    ...facts.services
      .filter((each) => each.state !== ServiceState.READY)
      .map((each) => ({
        id: `service ${each.name}`,
        tone: serviceTone(each.state),
        text: t('service_is', { name: each.name, state: serviceState(each.state) }),
        detail: each.reason,
        path: '/about',
      })),
  ];
  return found.sort((a, b) => (WEIGHT[a.tone] ?? 2) - (WEIGHT[b.tone] ?? 2));
}
