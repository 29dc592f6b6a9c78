import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';

import { AssetSchema, type Asset } from '#lib/gen/ubmc/v1alpha1/inventory_pb.ts';

import { chassisOf, found, rowsOf, treeOf } from './tree.ts';

const asset = (name: string, parent = '', model = ''): Asset => create(AssetSchema, { name, parent, model });
const shown = (all: readonly Asset[], closed: ReadonlySet<string> = new Set()): string[] =>
  rowsOf(treeOf(all), closed).map(({ asset: { name }, depth }) => `${depth} ${name}`);

const MACHINE = [
  asset('dimm.10', 'board.0'),
  asset('dimm.2', 'board.0', 'Fast One'),
  asset('board.0', 'chassis.0'),
  asset('chassis.0'),
  asset('psu.0', 'chassis.0'),
];

describe('tree of parts', () => {
  test('part in part, in natural order', () => {
    expect(shown(MACHINE)).toEqual(['0 chassis.0', '1 board.0', '2 dimm.2', '2 dimm.10', '1 psu.0']);
  });

  test('what is closed hides what is in it', () => {
    expect(shown(MACHINE, new Set(['board.0']))).toEqual(['0 chassis.0', '1 board.0', '1 psu.0']);
  });

  test('no part disappears, whatever parents say', () => {
    const odd = [asset('a', 'b'), asset('b', 'a'), asset('c', 'c'), asset('d', 'nobody'), asset('e', 'a')];
    expect(shown(odd).map((row) => row.slice(2)).sort()).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  test('a search keeps what the hits are in', () => {
    expect(found(MACHINE, 'fast dimm').map((each) => each.name)).toEqual(['dimm.2', 'board.0', 'chassis.0']);
    expect(found(MACHINE, ' ')).toHaveLength(MACHINE.length);
    expect(found(MACHINE, 'nothing')).toEqual([]);
  });

  test('the light is that of the chassis around', () => {
    const boxes = new Set(['chassis.0']);
    expect(chassisOf(MACHINE[0] as Asset, MACHINE, boxes)).toBe('chassis.0');
    expect(chassisOf(asset('x', 'x'), MACHINE, boxes)).toBeUndefined();
  });
});
