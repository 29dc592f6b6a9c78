/** Which fields of a form differ from what they were: the paths of an update mask. */

/** `minPasswordLength` as the schema has it: `min_password_length`. */
export function pathOf(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The paths of the keys whose values differ; lists count by what is in them. */
export function changedPaths<T extends object>(before: T, after: T, keys: readonly (keyof T & string)[]): string[] {
  return keys.filter((key) => JSON.stringify(before[key]) !== JSON.stringify(after[key])).map(pathOf);
}
