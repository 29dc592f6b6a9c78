import { Code, ConnectError } from '@connectrpc/connect';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Stream, type Reach } from './stream.ts';

interface Update {
  cursor: string;
}

/** A server whose streams this test feeds and breaks. */
class Server implements Reach {
  opened: string[] = [];
  taken: string[] = [];
  told: (boolean | Code)[] = [];
  up = true;
  dead: (() => void)[] = [];
  #feed: ((next: Update | ConnectError | undefined) => void) | undefined;
  #signal: AbortSignal | undefined;

  source = {
    open: (cursor: string, signal: AbortSignal) => this.#open(cursor, signal),
    take: (update: Update) => {
      this.taken.push(update.cursor);
      return update.cursor;
    },
    tell: (state: { open: boolean; error?: ConnectError }) => this.told.push(state.open || (state.error?.code ?? false)),
  };

  async reached(): Promise<void> {
    while (!this.up) await new Promise((resolve) => setTimeout(resolve, 100));
  }

  heard(): void {
    // nothing to note
  }

  onDead(listener: () => void): () => void {
    this.dead.push(listener);
    return () => undefined;
  }

  get aborted(): boolean {
    return this.#signal?.aborted ?? false;
  }

  async send(next: Update | ConnectError | undefined): Promise<void> {
    this.#feed?.(next);
    await vi.advanceTimersByTimeAsync(1);
  }

  async *#open(cursor: string, signal: AbortSignal): AsyncGenerator<Update> {
    this.opened.push(cursor);
    this.#signal = signal;
    for (;;) {
      const next = await new Promise<Update | ConnectError | undefined>((resolve, reject) => {
        this.#feed = resolve;
        signal.addEventListener('abort', () => reject(new ConnectError('aborted', Code.Canceled)));
      });
      if (next instanceof ConnectError) throw next;
      if (next === undefined) return;
      yield next;
    }
  }
}

describe('Stream', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  async function begun(): Promise<[Server, Stream<Update>]> {
    const server = new Server();
    const stream = new Stream<Update>(server.source, server);
    stream.start();
    await vi.advanceTimersByTimeAsync(1);
    return [server, stream];
  }

  it('resumes behind the last update after it broke', async () => {
    const [server, stream] = await begun();
    await server.send({ cursor: 'a:1' });
    await server.send({ cursor: 'a:2' });
    await server.send(new ConnectError('gone', Code.Unavailable));
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.opened).toEqual(['', 'a:2']);
    expect(server.told).toContain(Code.Unavailable);
    await server.send({ cursor: 'a:3' });
    expect(server.taken).toEqual(['a:1', 'a:2', 'a:3']);
    stream.stop();
  });

  it('does not open while the BMC does not answer, and at once when it does', async () => {
    const [server, stream] = await begun();
    server.up = false;
    await server.send(undefined);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.opened).toHaveLength(1);
    server.up = true;
    await vi.advanceTimersByTimeAsync(500);
    expect(server.opened).toHaveLength(2);
    stream.stop();
  });

  it('tries less and less often when only it is refused', async () => {
    const [server, stream] = await begun();
    for (let round = 0; round < 100; round++) {
      await server.send(new ConnectError('the service starts', Code.Unavailable));
      await vi.advanceTimersByTimeAsync(300);
    }
    expect(server.opened.length).toBeLessThan(20);
    stream.stop();
  });

  it('leaves a service alone that is not on this board', async () => {
    const [server, stream] = await begun();
    await server.send(new ConnectError('this board has none', Code.NotFound));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.opened).toHaveLength(1);
    expect(server.told.at(-1)).toBe(Code.NotFound);
    stream.stop();
  });

  it('counts as running when it stays silent for a while without a refusal', async () => {
    const [server, stream] = await begun();
    expect(server.told).toEqual([]);
    await vi.advanceTimersByTimeAsync(1500);
    expect(server.told).toEqual([true]);
    stream.stop();
    expect(server.aborted).toBe(true);
  });

  it('opens anew when what was open turned out to be dead', async () => {
    const [server, stream] = await begun();
    await server.send({ cursor: 'a:1' });
    for (const listener of server.dead) listener();
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.opened).toEqual(['', 'a:1']);
    stream.stop();
  });

  it('is aborted when it is stopped, and goes on behind its cursor when it is started again', async () => {
    const [server, stream] = await begun();
    await server.send({ cursor: 'a:1' });
    stream.stop();
    expect(server.aborted).toBe(true);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(server.opened).toHaveLength(1);
    stream.start();
    await vi.advanceTimersByTimeAsync(1);
    expect(server.opened).toEqual(['', 'a:1']);
    stream.forget();
    stream.stop();
    stream.start();
    await vi.advanceTimersByTimeAsync(1);
    expect(server.opened.at(-1)).toBe('');
    stream.stop();
  });
});
