/** Decimal numbers as people type them: with the sign of the page's language, and nothing that only computers write. */
import { locale } from './i18n/locale.svelte.ts';

const POINT = /^[+-]?\d+(\.\d+)?$/;
const COMMA = /^[+-]?\d+(,\d+)?$/;
// where people write 1,5 this is as likely fifteen hundred as one and a half
const THOUSANDS = /^[+-]?\d{1,3}\.\d{3}$/;

function format(): Intl.NumberFormat {
  // without the noise of binary fractions
  return new Intl.NumberFormat(locale.tag, { useGrouping: false, maximumSignificantDigits: 15 });
}

/**
 * The number of a text; undefined if it is none, or if it could be read as two different ones.
 *
 * A point is understood in every language, because data sheets have it; a comma where the language writes it so.
 */
export function decimal(text: string): number | undefined {
  const given = text.trim();
  const comma = format().format(0.5).includes(',');
  if (comma && COMMA.test(given)) return Number(given.replace(',', '.'));
  if (!POINT.test(given) || (comma && THOUSANDS.test(given))) return undefined;
  return Number(given);
}

/** A number as the text of a field, which `decimal` reads as the same number. */
export function decimalText(value: number): string {
  return format().format(value);
}
