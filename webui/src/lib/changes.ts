/** Which fields of a form differ from what they were: the paths of an update mask. */

/** `minPasswordLength` as the schema has it: `min_password_length`. */
export function pathOf(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Whether two values of a field differ; lists count by what is in them. */
export function differ(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) !== JSON.stringify(other);
}

/** The paths of the keys whose values differ. */
export function changedPaths<T extends object>(before: T, after: T, keys: readonly (keyof T & string)[]): string[] {
  return keys.filter((key) => differ(before[key], after[key])).map(pathOf);
}
