/** The content of a FRU storage as lines under headings; what is empty is left out. */
import type { Timestamp } from '@bufbuild/protobuf/wkt';

import type { Fru } from '#lib/gen/ubmc/v1alpha1/inventory_pb.ts';

export interface Line {
  /** A key of `i18n/inventory.ts`. */
  label: string;
  text?: string;
  time?: Timestamp;
}

export interface Area {
  label: string;
  lines: Line[];
}

function areaOf(label: string, lines: Line[], custom: readonly string[]): Area {
  const further: Line[] = custom.map((text) => ({ label: 'fru_custom', text }));
  return { label, lines: [...lines, ...further].filter((line) => line.text || line.time) };
}

export function areasOf(fru: Fru): Area[] {
  return [
    areaOf(
      'fru_chassis',
      [
        { label: 'part_number', text: fru.chassisPartNumber },
        { label: 'serial_number', text: fru.chassisSerialNumber },
      ],
      fru.chassisCustom,
    ),
    areaOf(
      'fru_board',
      [
        { label: 'manufacturer', text: fru.boardManufacturer },
        { label: 'model', text: fru.boardProduct },
        { label: 'part_number', text: fru.boardPartNumber },
        { label: 'serial_number', text: fru.boardSerialNumber },
        { label: 'fru_made', time: fru.boardManufactureTime },
      ],
      fru.boardCustom,
    ),
    areaOf(
      'fru_product',
      [
        { label: 'manufacturer', text: fru.productManufacturer },
        { label: 'model', text: fru.productName },
        { label: 'part_number', text: fru.productPartNumber },
        { label: 'version', text: fru.productVersion },
        { label: 'serial_number', text: fru.productSerialNumber },
        { label: 'asset_tag', text: fru.productAssetTag },
      ],
      fru.productCustom,
    ),
  ].filter((area) => area.lines.length > 0);
}
