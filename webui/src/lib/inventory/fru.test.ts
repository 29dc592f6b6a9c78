import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';

import { FruSchema } from '#lib/gen/ubmc/v1alpha1/inventory_pb.ts';
import { inventory } from '#lib/i18n/inventory.ts';

import { areasOf } from './fru.ts';

test('an area is told with what is in it, and not at all if nothing is', () => {
  const made = timestampFromMs(0);
  const areas = areasOf(
    create(FruSchema, { boardProduct: 'Board', boardManufactureTime: made, boardCustom: ['x', ''], productAssetTag: '7' }),
  );
  expect(areas).toEqual([
    {
      label: 'fru_board',
      lines: [
        { label: 'model', text: 'Board' },
        { label: 'fru_made', time: made },
        { label: 'fru_custom', text: 'x' },
      ],
    },
    { label: 'fru_product', lines: [{ label: 'asset_tag', text: '7' }] },
  ]);
  for (const { label, lines } of areas) {
    for (const key of [label, ...lines.map((line) => line.label)]) expect(inventory.of(key)).not.toBe(key);
  }
});

test('an empty storage has no areas', () => {
  expect(areasOf(create(FruSchema))).toEqual([]);
});
