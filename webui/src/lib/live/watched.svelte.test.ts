import { Code, ConnectError } from '@connectrpc/connect';
import { flushSync } from 'svelte';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { secondsSince } from './arrival.ts';
import type { LinkState } from './link.svelte.ts';
import { Watched } from './watched.svelte.ts';

interface Thing {
  name: string;
  value: number;
}

interface Update {
  cursor: string;
  snapshot?: boolean;
  thing: Thing;
}

/** A Watch RPC that this test feeds, and the link to it. */
class Server {
  state = $state<LinkState>('live');
  opened: string[] = [];
  dead = new Set<() => void>();
  #feed: ((next: Update | ConnectError) => void) | undefined;

  reached(): Promise<void> {
    return Promise.resolve();
  }

  heard(): void {
    // nothing to note
  }

  onDead(listener: () => void): () => void {
    this.dead.add(listener);
    return () => this.dead.delete(listener);
  }

  async send(name: string, value: number, snapshot = false): Promise<void> {
    this.#feed?.({ cursor: `e:${value}`, snapshot, thing: { name, value } });
    await vi.advanceTimersByTimeAsync(1);
  }

  async refuse(code: Code): Promise<void> {
    this.#feed?.(new ConnectError('said no', code));
    await vi.advanceTimersByTimeAsync(1);
  }

  async *open(cursor: string, signal: AbortSignal): AsyncGenerator<Update> {
    this.opened.push(cursor);
    for (;;) {
      const next = await new Promise<Update | ConnectError>((resolve, reject) => {
        this.#feed = resolve;
        signal.addEventListener('abort', () => reject(new ConnectError('aborted', Code.Canceled)));
      });
      if (next instanceof ConnectError) throw next;
      yield next;
    }
  }
}

describe('Watched', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function made(): [Server, Watched<Thing, Update>] {
    const server = new Server();
    const watched = new Watched<Thing, Update>(
      { open: (cursor, signal) => server.open(cursor, signal), items: (update) => [[update.thing.name, update.thing]] },
      server,
    );
    return [server, watched];
  }

  async function used(): Promise<[Server, Watched<Thing, Update>, () => void]> {
    const [server, watched] = made();
    const leave = watched.use();
    await vi.advanceTimersByTimeAsync(1);
    return [server, watched, leave];
  }

  it('is open while somebody looks, and ten seconds longer', async () => {
    const [server, watched, leave] = await used();
    await server.send('a', 1);
    expect(watched.open).toBe(true);
    const other = watched.use();
    leave();
    leave();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(watched.open).toBe(true);
    other();
    await vi.advanceTimersByTimeAsync(9_000);
    expect(watched.open).toBe(true);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(watched.open).toBe(false);
    expect(watched.get('a')?.value).toBe(1);
    watched.use();
    await vi.advanceTimersByTimeAsync(1);
    expect(server.opened).toEqual(['', 'e:1']);
    watched.reset();
  });

  it('knows all only after the whole snapshot, and drops what it does not name', async () => {
    const [server, watched] = await used();
    await server.send('old', 1, false);
    expect(watched.known).toBe(true);
    watched.reset();
    expect([watched.known, watched.names]).toEqual([false, []]);
    await vi.advanceTimersByTimeAsync(1);
    await server.send('a', 2, true);
    await server.send('b', 3, true);
    expect([watched.open, watched.known]).toEqual([true, false]);
    await vi.advanceTimersByTimeAsync(1_500);
    expect([watched.known, watched.names]).toEqual([true, ['a', 'b']]);
    await server.send('c', 4, true);
    await vi.advanceTimersByTimeAsync(1_500);
    expect(watched.names).toEqual(['c']);
    watched.reset();
  });

  it('knows that there is nothing when nothing is told for a while', async () => {
    const [, watched] = await used();
    expect(watched.known).toBe(false);
    await vi.advanceTimersByTimeAsync(1_100);
    expect(watched.known).toBe(true);
    watched.reset();
  });

  it('knows nothing any more, and says why, when the service is away; and again when it is back', async () => {
    const [server, watched] = await used();
    await server.send('a', 1);
    await server.refuse(Code.Unavailable);
    expect([watched.known, watched.problem?.message]).toEqual([false, 'said no']);
    server.state = 'lost';
    expect(watched.problem).toBeUndefined(); // that nobody answers is said once for all
    server.state = 'live';
    await vi.advanceTimersByTimeAsync(1_000);
    await server.send('a', 2);
    expect([watched.known, watched.problem, watched.get('a')?.value]).toEqual([true, undefined, 2]);
    watched.reset();
  });

  it('keeps what it knows when only the connection breaks', async () => {
    const [server, watched] = await used();
    await server.send('a', 1);
    for (const listener of [...server.dead]) listener();
    await vi.advanceTimersByTimeAsync(1);
    expect([watched.known, watched.problem]).toEqual([true, undefined]);
    expect(server.opened).toEqual(['', 'e:1']);
    watched.reset();
  });

  it('knows that there is none of it on a board that has no such service', async () => {
    const [server, watched] = await used();
    await server.refuse(Code.NotFound);
    expect([watched.known, watched.problem?.code]).toEqual([true, Code.NotFound]);
    watched.reset();
  });

  it('renews who looks at one thing only when that one changes', async () => {
    const [server, watched] = await used();
    await server.send('a', 1);
    const seen: (number | undefined)[] = [];
    const stop = $effect.root(() => {
      $effect(() => void seen.push(watched.get('a')?.value));
    });
    flushSync();
    await server.send('b', 2);
    flushSync();
    seen.length = 0;
    await server.send('b', 3);
    flushSync();
    expect(seen).toEqual([]);
    await server.send('a', 4);
    flushSync();
    expect(seen).toEqual([4]);
    stop();
    watched.reset();
  });

  it('notes when a thing was told, for times that go on', async () => {
    const [server, watched] = await used();
    await server.send('a', 120);
    await vi.advanceTimersByTimeAsync(100_000);
    const thing = watched.get('a');
    expect(Math.round(secondsSince(thing as Thing, Date.now()))).toBe(100);
    await server.send('a', 30);
    expect(secondsSince(watched.get('a') as Thing, Date.now())).toBeLessThan(1);
    expect(secondsSince({}, Date.now())).toBe(0);
    watched.reset();
  });
});
