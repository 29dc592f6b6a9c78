/**
 * What forms call the fields that refusals of the server name: `upperWarning` is "Upper warning" to who reads a form.
 *
 * Each catalogue tells the names of its own forms, so a page knows those that it shows.
 */
const labels = new Map<string, () => string>();

// a path (`ldap.caPem`), or a name with a hump or a digit, which no word of a sentence has
const NAMED = /(?<![\w.])(?:[a-z]\w*\.)*[a-z]\w*/g;
const HUMP = /[a-z][A-Z0-9]/;

/** Tells what forms call fields: a name as JSON has it, or a path where the name alone has several meanings. */
export function fieldLabels<K extends string>(text: (key: K) => string, fields: Record<string, K>): void {
  for (const [field, key] of Object.entries(fields)) labels.set(field, () => text(key));
}

function labelOf(path: string): string {
  const name = path.slice(path.lastIndexOf('.') + 1);
  const label = labels.get(path) ?? (HUMP.test(name) ? labels.get(name) : undefined);
  return label?.() ?? '';
}

/** A message of the server, with the label behind each field that it names. */
export function withLabels(message: string): string {
  return message.replace(NAMED, (path) => {
    const label = labelOf(path);
    return label ? `${path} (${label})` : path;
  });
}
