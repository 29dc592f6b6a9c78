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
  broken: (Code | undefined)[] = [];
  up = true;
  probes = 0;
  dead: (() => void)[] = [];
  #feed: ((next: Update | ConnectError | undefined) => void) | undefined;
  #signal: AbortSignal | undefined;

  source = {
    open: (cursor: string, signal: AbortSignal) => this.#open(cursor, signal),
    take: (update: Update) => {
      this.taken.push(update.cursor);
      return update.cursor;
    },
    broke: (error: ConnectError | undefined) => this.broken.push(error?.code),
  };

  async reached(): Promise<void> {
    this.probes++;
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
    expect(server.broken).toEqual([Code.Unavailable]);
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
      await server.send(new ConnectError('too many streams', Code.ResourceExhausted));
      await vi.advanceTimersByTimeAsync(300);
    }
    expect(server.opened.length).toBeLessThan(20);
    stream.stop();
  });

  it('leaves a call alone that the BMC does not have', async () => {
    const [server, stream] = await begun();
    await server.send(new ConnectError('there is none', Code.Unimplemented));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.opened).toHaveLength(1);
    expect(server.broken).toEqual([Code.Unimplemented]);
    stream.stop();
  });

  it('opens anew when what was open turned out to be dead', async () => {
    const [server, stream] = await begun();
    await server.send({ cursor: 'a:1' });
    for (const listener of server.dead) listener();
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.opened).toEqual(['', 'a:1']);
    stream.stop();
  });

  it('begins anew when its place is not taken any more', async () => {
    const [server, stream] = await begun();
    await server.send({ cursor: 'a:1' });
    await server.send(new ConnectError('that is no cursor', Code.InvalidArgument));
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.opened).toEqual(['', '']);
    stream.stop();
  });

  it('is opened otherwise at once, behind its cursor, and that is no break', async () => {
    const [server, stream] = await begun();
    await server.send({ cursor: 'a:1' });
    for (let times = 0; times < 5; times++) {
      stream.reopen();
      await vi.advanceTimersByTimeAsync(1);
    }
    expect(server.opened).toEqual(['', ...Array<string>(5).fill('a:1')]);
    expect([server.broken, server.probes]).toEqual([[], 1]);
    await server.send({ cursor: 'a:2' });
    expect(server.taken).toEqual(['a:1', 'a:2']);
    stream.stop();
  });

  it('is not opened twice when something else is wanted while it is not open', async () => {
    const [server, stream] = await begun();
    server.up = false;
    await server.send(undefined);
    stream.reopen();
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.opened).toHaveLength(1);
    server.up = true;
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.opened).toHaveLength(2);
    stream.stop();
    stream.reopen();
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.opened).toHaveLength(2);
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
