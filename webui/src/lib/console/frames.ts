/**
 * The frames of a console's WebSocket: each binary message is one kind byte and a payload, numbers unsigned and
 * big-endian. The same as `src/ubmc/protocols/console.py`, where each of them is described.
 */
export const SUBPROTOCOL = 'ubmc.console.v1';
export const LONGEST_INPUT = 16 * 1024;

/** How the console is: with HELLO all of it, with STATE what may have changed. */
export interface ConsoleState {
  writing: boolean;
  writer: string;
  connected: boolean;
  reason: string;
}

export interface Hello extends ConsoleState {
  name: string;
  epoch: string;
  start: number;
  end: number;
  resumed: 'live' | 'replay' | 'exact' | 'gap' | 'unknown';
  mayWrite: boolean;
}

export type Frame =
  | { kind: 'hello'; hello: Hello }
  | { kind: 'output'; offset: number; data: Uint8Array }
  | { kind: 'missed'; from: number; to: number }
  | { kind: 'state'; state: ConsoleState }
  | { kind: 'written'; total: number; dropped: number }
  | { kind: 'end'; reason: string; message: string };

function u64(view: DataView, at: number): number {
  // a console would have to run for ten thousand years to pass 2^53
  return Number(view.getBigUint64(at));
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function stateOf(fields: Record<string, unknown>): ConsoleState {
  return {
    writing: fields.writing === true,
    writer: text(fields.writer),
    connected: fields.connected === true,
    reason: text(fields.reason),
  };
}

function helloOf(fields: Record<string, unknown>): Hello {
  return {
    ...stateOf(fields),
    name: text(fields.name),
    epoch: text(fields.epoch),
    start: Number(fields.start),
    end: Number(fields.end),
    resumed: text(fields.resumed) as Hello['resumed'],
    mayWrite: fields.may_write === true,
  };
}

function json(payload: Uint8Array): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(payload)) as Record<string, unknown>;
}

/** The frame of a message; undefined for a kind that a newer BMC may send. Raises what is no frame at all. */
export function parse(message: ArrayBuffer): Frame | undefined {
  const view = new DataView(message);
  const payload = new Uint8Array(message, 1);
  switch (view.getUint8(0)) {
    case 0x01:
      return { kind: 'hello', hello: helloOf(json(payload)) };
    case 0x02:
      return { kind: 'output', offset: u64(view, 1), data: payload.subarray(8) };
    case 0x03:
      return { kind: 'missed', from: u64(view, 1), to: u64(view, 9) };
    case 0x04:
      return { kind: 'state', state: stateOf(json(payload)) };
    case 0x05:
      return { kind: 'written', total: u64(view, 1), dropped: u64(view, 9) };
    case 0x06: {
      const fields = json(payload);
      return { kind: 'end', reason: text(fields.reason), message: text(fields.message) };
    }
    default:
      return undefined;
  }
}

/** INPUT frames for what somebody typed or pasted. */
export function inputs(data: Uint8Array): Uint8Array<ArrayBuffer>[] {
  const frames: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < data.length; at += LONGEST_INPUT) {
    const part = data.subarray(at, at + LONGEST_INPUT);
    const frame = new Uint8Array(part.length + 1);
    frame[0] = 0x81;
    frame.set(part, 1);
    frames.push(frame);
  }
  return frames;
}

/** A BREAK of the usual length. */
export function breakFrame(): Uint8Array<ArrayBuffer> {
  return new Uint8Array([0x82, 0, 0]);
}

/** Be the writer, of need from whoever is it. */
export function takeFrame(over: boolean): Uint8Array<ArrayBuffer> {
  return new Uint8Array([0x84, over ? 1 : 0]);
}

export function releaseFrame(): Uint8Array<ArrayBuffer> {
  return new Uint8Array([0x85]);
}

/** Where the WebSocket of a console is: behind what was received before, or from some bytes before the end. */
export function address(
  origin: string,
  host: string,
  from: { epoch: string; offset: number } | undefined,
  write: boolean,
): string {
  const url = new URL(`/api/v1alpha1/hosts/${encodeURIComponent(host)}/console:attach`, origin.replace(/^http/, 'ws'));
  if (from) {
    url.searchParams.set('from', String(from.offset));
    url.searchParams.set('epoch', from.epoch);
  } else {
    url.searchParams.set('replay', '65536');
  }
  if (write) url.searchParams.set('write', 'true');
  return url.href;
}
