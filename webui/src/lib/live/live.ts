/**
 * Everything that is live on the pages, in one place: one link to the BMC, and a store for each Watch RPC.
 *
 * A page looks at a store by `$effect(() => live.sensors.use())` and reads `live.sensors.get(name)`.
 */
import { chassis, client, hosts, sensors, thermal } from '../api.ts';
import type { Chassis, WatchChassisResponse } from '../gen/ubmc/v1alpha1/chassis_pb.ts';
import type { Host, WatchHostsResponse } from '../gen/ubmc/v1alpha1/host_pb.ts';
import { InventoryService, type Asset, type WatchAssetsResponse } from '../gen/ubmc/v1alpha1/inventory_pb.ts';
import { LedService, type Led, type WatchLedsResponse } from '../gen/ubmc/v1alpha1/led_pb.ts';
import type { Sensor, WatchSensorsResponse } from '../gen/ubmc/v1alpha1/sensor_pb.ts';
import type { CoolingDevice, ThermalZone, WatchThermalZonesResponse } from '../gen/ubmc/v1alpha1/thermal_pb.ts';
import { Items } from './items.svelte.ts';
import { EventLog } from './log.svelte.ts';
import { link } from './there.ts';
import { Watched } from './watched.svelte.ts';

interface Named {
  name: string;
}

function one<T extends Named>(item: T | undefined): [string, T][] {
  return item ? [[item.name, item]] : [];
}

const inventory = client(InventoryService);
const leds = client(LedService);
const coolingDevices = new Items<CoolingDevice>();

const streams = {
  hosts: new Watched<Host, WatchHostsResponse>(
    {
      open: (cursor, signal) => hosts.watchHosts({ cursor }, { signal, timeoutMs: 0 }),
      items: (update) => one(update.host),
    },
    link,
  ),
  chassis: new Watched<Chassis, WatchChassisResponse>(
    {
      open: (cursor, signal) => chassis.watchChassis({ cursor }, { signal, timeoutMs: 0 }),
      items: (update) => one(update.chassis),
    },
    link,
  ),
  sensors: new Watched<Sensor, WatchSensorsResponse>(
    {
      open: (cursor, signal) => sensors.watchSensors({ cursor, minIntervalSeconds: 1 }, { signal, timeoutMs: 0 }),
      items: (update) => update.sensors.map((each) => [each.name, each]),
    },
    link,
  ),
  zones: new Watched<ThermalZone, WatchThermalZonesResponse>(
    {
      open: (cursor, signal) => thermal.watchThermalZones({ cursor }, { signal, timeoutMs: 0 }),
      items: (update) => {
        coolingDevices.take(
          update.coolingDevices.map((each) => [each.name, each]),
          false,
        );
        return one(update.thermalZone);
      },
    },
    link,
  ),
  assets: new Watched<Asset, WatchAssetsResponse>(
    {
      open: (cursor, signal) => inventory.watchAssets({ cursor }, { signal, timeoutMs: 0 }),
      items: (update) => one(update.asset),
    },
    link,
  ),
  leds: new Watched<Led, WatchLedsResponse>(
    {
      open: (cursor, signal) => leds.watchLeds({ cursor }, { signal, timeoutMs: 0 }),
      items: (update) => one(update.led),
    },
    link,
  ),
};

export const live = {
  link,
  ...streams,
  /** Told with the zones. */
  coolingDevices,
  events: new EventLog(link),

  /** Somebody logged in. */
  start(): void {
    link.start();
    for (const each of Object.values(streams)) each.reset();
    live.events.start();
  },

  /** Nobody is logged in any longer: everything is closed and forgotten. */
  stop(): void {
    link.stop();
    live.events.reset();
    for (const each of Object.values(streams)) each.reset();
    coolingDevices.clear();
  },
};
