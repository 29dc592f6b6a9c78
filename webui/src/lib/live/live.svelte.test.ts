import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { flushSync } from 'svelte';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { ListEventsResponseSchema } from '../gen/ubmc/v1alpha1/event_pb.ts';
import { LiveState, LiveTopic, WatchLiveResponseSchema, type WatchLiveResponse } from '../gen/ubmc/v1alpha1/live_pb.ts';
import { secondsSince } from './arrival.ts';
import type { LinkState } from './link.svelte.ts';
import { Live, type Wanted } from './live.svelte.ts';

const { HOSTS, CHASSIS, SENSORS, LEDS, EVENTS } = LiveTopic;
const ALWAYS = [HOSTS, CHASSIS, EVENTS];

/** WatchLive that this test feeds, and the link to it. */
class Server {
  state = $state<LinkState>('live');
  opened: Wanted[] = [];
  dead = new Set<() => void>();
  #sent = 0;
  #feed: ((next: WatchLiveResponse | ConnectError) => void) | undefined;

  reached = (): Promise<void> => Promise.resolve();
  heard = (): void => undefined;
  start = (): void => undefined;
  stop = (): void => undefined;

  onDead(listener: () => void): () => void {
    this.dead.add(listener);
    return () => this.dead.delete(listener);
  }

  get asked(): LiveTopic[][] {
    return this.opened.map((each) => each.topics);
  }

  async tell(next: WatchLiveResponse['update'] | ConnectError): Promise<void> {
    const cursor = `e:${++this.#sent}`;
    this.#feed?.(next instanceof ConnectError ? next : create(WatchLiveResponseSchema, { update: next, cursor }));
    await vi.advanceTimersByTimeAsync(1);
  }

  sensor(name: string, value: number, told: { snapshot?: boolean; complete?: boolean } = { complete: true }): Promise<void> {
    const { update } = create(WatchLiveResponseSchema, {
      update: { case: 'sensors', value: { sensors: [{ name, value }], ...told } },
    });
    return this.tell(update);
  }

  stands(topic: LiveTopic, state: LiveState, message = ''): Promise<void> {
    const { update } = create(WatchLiveResponseSchema, { update: { case: 'state', value: { topic, state, message } } });
    return this.tell(update);
  }

  async *open(wanted: Wanted, signal: AbortSignal): AsyncGenerator<WatchLiveResponse> {
    this.opened.push(wanted);
    for (;;) {
      const next = await new Promise<WatchLiveResponse | ConnectError>((resolve, reject) => {
        this.#feed = resolve;
        signal.addEventListener('abort', () => reject(new ConnectError('aborted', Code.Canceled)));
      });
      if (next instanceof ConnectError) throw next;
      yield next;
    }
  }
}

describe('Live', () => {
  let server: Server;
  let live: Live<Server>;

  beforeEach(() => {
    vi.useFakeTimers();
    server = new Server();
    live = new Live(server, (wanted, signal) => server.open(wanted, signal), {
      listEvents: () => Promise.resolve(create(ListEventsResponseSchema)),
    });
  });

  afterEach(() => {
    live.stop();
    vi.useRealTimers();
  });

  async function passed(ms: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(ms);
  }

  async function begun(): Promise<() => void> {
    const leave = live.sensors.use();
    live.start();
    await passed(100);
    return leave;
  }

  it('asks by one stream for what the frame needs and what is looked at', async () => {
    await begun();
    expect(server.opened).toEqual([{ topics: [HOSTS, CHASSIS, SENSORS, EVENTS], cursor: '', minIntervalSeconds: 1 }]);
  });

  it('asks for others by the same stream, several at once, and goes on where it was', async () => {
    await begun();
    await server.sensor('a', 1);
    const leave = [live.leds.use(), live.zones.use(), live.hosts.use()];
    await passed(100);
    expect(server.opened).toHaveLength(2);
    expect(server.opened[1]).toMatchObject({
      topics: [HOSTS, CHASSIS, SENSORS, LiveTopic.THERMAL_ZONES, LEDS, EVENTS],
      cursor: 'e:1',
    });
    expect(live.sensors.problem).toBeUndefined();
    for (const each of leave) each();
    await passed(60_000);
    expect(server.asked.at(-1)).toEqual([HOSTS, CHASSIS, SENSORS, EVENTS]);
    expect(server.opened).toHaveLength(3);
  });

  it('goes on with what was looked at ten seconds ago', async () => {
    const leave = await begun();
    leave();
    leave();
    await passed(9_000);
    const back = live.sensors.use();
    await passed(60_000);
    expect(server.opened).toHaveLength(1);
    back();
    await passed(9_000);
    expect(server.opened).toHaveLength(1);
    await passed(2_000);
    expect(server.asked.at(-1)).toEqual(ALWAYS);
  });

  it('knows all when it is told so, and drops what a whole snapshot does not name', async () => {
    await begun();
    await server.sensor('old', 1);
    await server.sensor('a', 2, { snapshot: true });
    expect([live.sensors.known, live.sensors.names]).toEqual([false, ['a', 'old']]);
    await server.sensor('b', 3, { snapshot: true, complete: true });
    expect(live.sensors.names).toEqual(['a', 'b']);
    await server.stands(SENSORS, LiveState.SETTLED);
    expect([live.sensors.known, live.hosts.known]).toEqual([true, false]);
  });

  it('takes a snapshot that is broken off by another wish for none', async () => {
    await begun();
    await server.sensor('a', 1);
    await server.sensor('gone', 2, { snapshot: true });
    live.leds.use();
    await passed(100);
    await server.sensor('a', 3, { snapshot: true, complete: true });
    expect(live.sensors.names).toEqual(['a']);
  });

  it('knows nothing any more, and says why, when a service is away; and again when it is back', async () => {
    await begun();
    await server.sensor('a', 1);
    await server.stands(SENSORS, LiveState.SETTLED);
    await server.stands(SENSORS, LiveState.AWAY, 'sensormon is not running');
    expect(live.sensors.known).toBe(false);
    expect(live.sensors.problem).toMatchObject({ code: Code.Unavailable, message: 'sensormon is not running' });
    expect(live.hosts.problem).toBeUndefined();
    server.state = 'lost';
    expect(live.sensors.problem).toBeUndefined(); // that nobody answers is said once for all
    server.state = 'live';
    await server.sensor('a', 2);
    await server.stands(SENSORS, LiveState.SETTLED);
    expect([live.sensors.known, live.sensors.problem, live.sensors.get('a')?.value]).toEqual([true, undefined, 2]);
  });

  it('knows that there is none of it on a board that has none, and not of what it may not see', async () => {
    await begun();
    await server.stands(SENSORS, LiveState.ABSENT, 'this board has no sensors');
    expect([live.sensors.known, live.sensors.problem?.code]).toEqual([true, Code.NotFound]);
    await server.stands(HOSTS, LiveState.DENIED, 'not for you');
    expect([live.hosts.known, live.hosts.problem?.code]).toEqual([false, Code.PermissionDenied]);
  });

  it('keeps what it knows when only the connection breaks', async () => {
    await begun();
    await server.sensor('a', 1);
    await server.stands(SENSORS, LiveState.SETTLED);
    for (const listener of [...server.dead]) listener();
    await passed(100);
    expect([live.sensors.known, live.sensors.problem]).toEqual([true, undefined]);
    expect(server.opened.map((each) => each.cursor)).toEqual(['', 'e:2']);
  });

  it('says why when the whole stream is refused, until it is told how it stands', async () => {
    await begun();
    await server.stands(SENSORS, LiveState.SETTLED);
    await server.tell(new ConnectError('too many streams', Code.ResourceExhausted));
    expect([live.sensors.known, live.sensors.problem?.message]).toEqual([false, 'too many streams']);
    await passed(2_000);
    await server.stands(SENSORS, LiveState.SETTLED);
    expect([live.sensors.known, live.sensors.problem]).toEqual([true, undefined]);
  });

  it('forgets everything with the session, and begins anew for who logs in next', async () => {
    await begun();
    await server.sensor('a', 1);
    await server.stands(SENSORS, LiveState.SETTLED);
    live.stop();
    expect([live.sensors.known, live.sensors.names]).toEqual([false, []]);
    live.start();
    await passed(100);
    expect(server.opened.map((each) => each.cursor)).toEqual(['', '']);
  });

  it('renews who looks at one thing only when that one changes', async () => {
    await begun();
    await server.sensor('a', 1);
    const seen: (number | undefined)[] = [];
    const stop = $effect.root(() => {
      $effect(() => void seen.push(live.sensors.get('a')?.value));
    });
    flushSync();
    await server.sensor('b', 2);
    flushSync();
    seen.length = 0;
    await server.sensor('b', 3);
    flushSync();
    expect(seen).toEqual([]);
    await server.sensor('a', 4);
    flushSync();
    expect(seen).toEqual([4]);
    stop();
  });

  it('notes when a thing was told, for times that go on', async () => {
    await begun();
    await server.sensor('a', 120);
    await passed(100_000);
    const thing = live.sensors.get('a') ?? {};
    expect(Math.round(secondsSince(thing, Date.now()))).toBe(100);
    await server.sensor('a', 30);
    expect(secondsSince(live.sensors.get('a') ?? {}, Date.now())).toBeLessThan(1);
    expect(secondsSince({}, Date.now())).toBe(0);
  });

  it('puts each update where it belongs', async () => {
    await begun();
    const told = { snapshot: true, complete: true };
    const updates: MessageInitShape<typeof WatchLiveResponseSchema>['update'][] = [
      { case: 'host', value: { host: { name: 'host.0' }, ...told } },
      { case: 'chassis', value: { chassis: { name: 'chassis.0' }, ...told } },
      { case: 'thermalZone', value: { thermalZone: { name: 'cpu' }, coolingDevices: [{ name: 'fan0' }], ...told } },
      { case: 'asset', value: { asset: { name: 'psu.0' }, ...told } },
      { case: 'led', value: { led: { name: 'power-led' }, ...told } },
      { case: 'event', value: { event: { id: 7n }, cursor: 'log:7' } },
    ];
    for (const update of updates) await server.tell(create(WatchLiveResponseSchema, { update }).update);
    const names = [live.hosts, live.chassis, live.zones, live.coolingDevices, live.assets, live.leds].map((each) => each.names);
    expect(names).toEqual([['host.0'], ['chassis.0'], ['cpu'], ['fan0'], ['psu.0'], ['power-led']]);
    expect(live.events.recent.map((each) => each.id)).toEqual([7n]);
    await server.tell(create(WatchLiveResponseSchema).update); // of a later version
    expect(live.hosts.names).toEqual(['host.0']);
  });
});
