/** Everything that is live on the pages: one stream from the BMC that resumes, and a store for each of its topics. */
import type { ConnectError } from '@connectrpc/connect';

import type { Chassis } from '../gen/ubmc/v1alpha1/chassis_pb.ts';
import type { Host } from '../gen/ubmc/v1alpha1/host_pb.ts';
import type { Asset } from '../gen/ubmc/v1alpha1/inventory_pb.ts';
import type { Led } from '../gen/ubmc/v1alpha1/led_pb.ts';
import { LiveTopic, type WatchLiveResponse } from '../gen/ubmc/v1alpha1/live_pb.ts';
import type { Sensor } from '../gen/ubmc/v1alpha1/sensor_pb.ts';
import type { CoolingDevice, ThermalZone } from '../gen/ubmc/v1alpha1/thermal_pb.ts';
import { Items } from './items.svelte.ts';
import type { Link } from './link.svelte.ts';
import { EventLog, type Listing } from './log.svelte.ts';
import { Store } from './store.svelte.ts';
import { Stream, type Reach } from './stream.ts';
import { Topics } from './topics.ts';

const SENSOR_SECONDS = 1;
// what the frame of all pages tells of
const ALWAYS = [LiveTopic.HOSTS, LiveTopic.CHASSIS, LiveTopic.EVENTS];

/** What the stream is asked for. */
export interface Wanted {
  topics: LiveTopic[];
  cursor: string;
  minIntervalSeconds: number;
}

/** Opens the stream; tests give another one. */
export type Open = (wanted: Wanted, signal: AbortSignal) => AsyncIterable<WatchLiveResponse>;

/** What is needed of the link. */
type Needed = Reach & Pick<Link, 'state' | 'start' | 'stop'>;

interface Named {
  name: string;
}

function named<T extends Named>(...items: (T | undefined)[]): [string, T][] {
  return items.filter((each) => each !== undefined).map((each) => [each.name, each]);
}

export class Live<L extends Needed> {
  readonly link: L;
  readonly hosts: Store<Host>;
  readonly chassis: Store<Chassis>;
  readonly sensors: Store<Sensor>;
  readonly zones: Store<ThermalZone>;
  readonly assets: Store<Asset>;
  readonly leds: Store<Led>;
  /** Told with the zones. */
  readonly coolingDevices = new Items<CoolingDevice>();
  readonly events: EventLog;
  readonly #stores: ReadonlyMap<LiveTopic, Store<object>>;
  readonly #topics: Topics;
  readonly #stream: Stream<WatchLiveResponse>;
  #asked = '';

  constructor(link: L, open: Open, log: Listing) {
    const stores = new Map<LiveTopic, Store<object>>();
    const store = <T extends object>(topic: LiveTopic): Store<T> => {
      const made = new Store<T>(link, () => this.#topics.use(topic));
      stores.set(topic, made as Store<object>);
      return made;
    };
    this.link = link;
    this.hosts = store(LiveTopic.HOSTS);
    this.chassis = store(LiveTopic.CHASSIS);
    this.sensors = store(LiveTopic.SENSORS);
    this.zones = store(LiveTopic.THERMAL_ZONES);
    this.assets = store(LiveTopic.ASSETS);
    this.leds = store(LiveTopic.LEDS);
    this.events = new EventLog(log);
    this.#stores = stores;
    this.#topics = new Topics(ALWAYS, () => {
      if (this.#topics.wanted.join() !== this.#asked) this.#stream.reopen();
    });
    this.#stream = new Stream<WatchLiveResponse>(
      {
        open: (cursor, signal) => this.#open(open, cursor, signal),
        take: (message) => this.#take(message),
        broke: (error) => this.#broke(error),
      },
      link,
    );
  }

  /** Somebody logged in. */
  start(): void {
    this.#forget();
    this.link.start();
    this.#stream.start();
    this.events.start();
  }

  /** Nobody is logged in any longer: everything is closed and forgotten. */
  stop(): void {
    this.link.stop();
    this.#forget();
  }

  #forget(): void {
    this.#stream.stop();
    this.#stream.forget();
    this.#topics.settle();
    this.events.reset();
    for (const each of this.#stores.values()) each.reset();
    this.coolingDevices.clear();
  }

  #open(open: Open, cursor: string, signal: AbortSignal): AsyncIterable<WatchLiveResponse> {
    const topics = this.#topics.wanted;
    this.#asked = topics.join();
    for (const each of this.#stores.values()) each.again();
    return open({ topics, cursor, minIntervalSeconds: SENSOR_SECONDS }, signal);
  }

  #take({ update, cursor }: WatchLiveResponse): string {
    switch (update.case) {
      case 'host':
        this.hosts.take(named(update.value.host), update.value);
        break;
      case 'chassis':
        this.chassis.take(named(update.value.chassis), update.value);
        break;
      case 'sensors':
        this.sensors.take(named(...update.value.sensors), update.value);
        break;
      case 'thermalZone':
        this.coolingDevices.take(named(...update.value.coolingDevices), { snapshot: false, complete: false });
        this.zones.take(named(update.value.thermalZone), update.value);
        break;
      case 'asset':
        this.assets.take(named(update.value.asset), update.value);
        break;
      case 'led':
        this.leds.take(named(update.value.led), update.value);
        break;
      case 'event':
        this.events.take(update.value);
        break;
      case 'state':
        this.#stores.get(update.value.topic)?.stands(update.value);
        break;
      case undefined: // of a later version
    }
    return cursor;
  }

  #broke(error: ConnectError | undefined): void {
    for (const each of this.#stores.values()) each.broke(error);
  }
}
