import { describe, expect, test } from 'vitest';

import { address, breakFrame, inputs, LONGEST_INPUT, parse, takeFrame } from './frames.ts';

function message(kind: number, payload: Uint8Array | string): ArrayBuffer {
  const bytes = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload;
  const whole = new Uint8Array(bytes.length + 1);
  whole[0] = kind;
  whole.set(bytes, 1);
  return whole.buffer;
}

function numbers(...all: bigint[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(8 * all.length));
  all.forEach((each, at) => view.setBigUint64(8 * at, each));
  return new Uint8Array(view.buffer);
}

describe('frames of a console', () => {
  test('HELLO says how it is', () => {
    const told = { name: 'host.0', epoch: 'e', start: 5, end: 9, resumed: 'exact', may_write: true, writing: false };
    const frame = parse(message(1, JSON.stringify({ ...told, writer: 'olga', connected: true })));
    expect(frame).toEqual({
      kind: 'hello',
      hello: {
        name: 'host.0',
        epoch: 'e',
        start: 5,
        end: 9,
        resumed: 'exact',
        mayWrite: true,
        writing: false,
        writer: 'olga',
        connected: true,
        reason: '',
      },
    });
  });

  test('OUTPUT has an offset and bytes', () => {
    const payload = new Uint8Array([...numbers(2n ** 40n), 0xff, 0x00, 0x41]);
    const frame = parse(message(2, payload));
    expect(frame).toEqual({ kind: 'output', offset: 2 ** 40, data: new Uint8Array([0xff, 0x00, 0x41]) });
  });

  test('MISSED and WRITTEN have two numbers', () => {
    expect(parse(message(3, numbers(7n, 19n)))).toEqual({ kind: 'missed', from: 7, to: 19 });
    expect(parse(message(5, numbers(100n, 3n)))).toEqual({ kind: 'written', total: 100, dropped: 3 });
  });

  test('what a newer BMC says is passed over', () => {
    expect(parse(message(0x42, 'new'))).toBeUndefined();
  });

  test('what is no frame is refused', () => {
    expect(() => parse(message(2, 'cut'))).toThrow();
    expect(() => parse(message(4, 'no json'))).toThrow();
  });

  test('a long paste goes in pieces, each byte once', () => {
    const data = Uint8Array.from({ length: 2 * LONGEST_INPUT + 5 }, (_, at) => at % 251);
    const frames = inputs(data);
    expect(frames.map((each) => each.length)).toEqual([LONGEST_INPUT + 1, LONGEST_INPUT + 1, 6]);
    expect(frames.every((each) => each[0] === 0x81)).toBe(true);
    expect(frames.flatMap((each) => [...each.subarray(1)])).toEqual([...data]);
  });

  test('BREAK and TAKE', () => {
    expect([...breakFrame()]).toEqual([0x82, 0, 0]);
    expect([...takeFrame(true)]).toEqual([0x84, 1]);
    expect([...takeFrame(false)]).toEqual([0x84, 0]);
  });

  test('it goes on where it was', () => {
    const from = { epoch: 'a b', offset: 12 };
    expect(address('https://bmc:8443', 'host.0', from, true)).toBe(
      'wss://bmc:8443/api/v1alpha1/hosts/host.0/console:attach?from=12&epoch=a+b&write=true',
    );
    expect(address('https://bmc', 'host.0/../x', undefined, false)).toBe(
      'wss://bmc/api/v1alpha1/hosts/host.0%2F..%2Fx/console:attach?replay=65536',
    );
  });
});
