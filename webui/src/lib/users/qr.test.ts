import decodeQR from 'qr/decode.js';
import { describe, expect, test } from 'vitest';

import { draw } from './qr.ts';

const MODULE = 4;

/** The picture as a camera would see it. */
function painted(text: string): { width: number; height: number; data: Uint8ClampedArray } {
  const { size, path } = draw(text);
  const width = size * MODULE;
  const data = new Uint8ClampedArray(width * width * 4).fill(255);
  for (const [, x, y, length] of path.matchAll(/M(\d+) (\d+)h(\d+)v1h-\3z/g)) {
    for (let row = Number(y) * MODULE; row < (Number(y) + 1) * MODULE; row++) {
      for (let column = Number(x) * MODULE; column < (Number(x) + Number(length)) * MODULE; column++) {
        data.fill(0, (row * width + column) * 4, (row * width + column) * 4 + 3);
      }
    }
  }
  return { width, height: width, data };
}

describe('QR code', () => {
  test.each([
    'otpauth://totp/u-bmc:admin?secret=JBSWY3DPEHPK3PXP&issuer=u-bmc',
    'otpauth://totp/u-bmc%20%28rack%207%29:a_long.user-name?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=u-bmc&digits=6',
  ])('can be read by a camera: %s', (text) => {
    expect(decodeQR(painted(text))).toBe(text);
  });

  test('has light around it', () => {
    const { path } = draw('x');
    for (const [, x, y] of path.matchAll(/M(\d+) (\d+)/g)) {
      expect(Math.min(Number(x), Number(y))).toBeGreaterThanOrEqual(4);
    }
  });
});
