/** A QR code (ISO/IEC 18004) as the path of a picture, drawn here: what it says never leaves the page. */
import encodeQR from 'qr';

// four modules of light around it, as the standard asks (section 9.1)
const QUIET = 4;

export interface Drawing {
  /** Width and height in modules. */
  size: number;
  /** The dark modules, as the `d` of an SVG path. */
  path: string;
}

export function draw(text: string): Drawing {
  const rows = encodeQR(text, 'raw', { ecc: 'medium', border: QUIET });
  const runs = rows.flatMap((row, y) => runsOf(row).map(([from, to]) => `M${from} ${y}h${to - from}v1h${from - to}z`));
  return { size: rows.length, path: runs.join('') };
}

/** Where dark modules stand side by side: [first, behind the last]. */
function runsOf(row: readonly boolean[]): [number, number][] {
  const runs: [number, number][] = [];
  let from = -1;
  for (let x = 0; x <= row.length; x++) {
    if (row[x] && from < 0) from = x;
    else if (!row[x] && from >= 0) {
      runs.push([from, x]);
      from = -1;
    }
  }
  return runs;
}
