/**
 * CSV (RFC 4180) that no spreadsheet obeys.
 *
 * A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return for a formula, and what we
 * export can carry text that a stranger chose: such a cell gets a quote before it (OWASP, CSV Injection).
 */

const FORMULA = /^ *[=+\-@\t\r]/;
/** What controls a terminal or turns text around: C0, C1, and the marks of Unicode's bidirectional algorithm. */
// eslint-disable-next-line no-control-regex -- these are the very characters to be found
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** The text so that neither a spreadsheet nor a terminal obeys it. */
export function safeCell(text: string): string {
  const quoted = FORMULA.test(text) ? `'${text}` : text;
  return quoted.replace(CONTROL, '\ufffd');
}

function csvCell(text: string): string {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The titles, then a line for each row. */
export function csv(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = rows.map((row) => row.map(safeCell).map(csvCell).join(','));
  return [titles.join(','), ...lines].join('\r\n') + '\r\n';
}
