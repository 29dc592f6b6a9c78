/**
 * Texts in every language, typed: a key that is missing in one of them, or a value that is not given, does not compile.
 *
 * `{name}` in a text is replaced by the value of that name. `t.count('sensors', 3)` takes the key `sensors_one` or
 * `sensors_other`, and knows `{count}`.
 */
import { locale } from './locale.svelte.ts';

type Names<S> = S extends `${string}{${infer Name}}${infer Rest}` ? Name | Names<Rest> : never;
type Values<S> = [Names<S>] extends [never] ? [] : [Record<Names<S>, string | number>];
type Counted<K> = K extends `${infer Name}_other` ? Name : never;

export interface Texts<E> {
  <K extends keyof E & string>(key: K, ...values: Values<E[K]>): string;
  /** The text for so many. */
  count(key: Counted<keyof E & string>, count: number): string;
  /** The text of a key that is only known at run time; the key itself if there is none. */
  of(key: string): string;
  /** For tests. */
  readonly languages: { en: Record<string, string>; de: Record<string, string> };
}

function fill(text: string, values: Record<string, string | number> | undefined): string {
  return values ? text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole)) : text;
}

/** Makes the texts of one part of the pages. */
export function catalogue<const E extends Record<string, string>>(en: E, de: { [K in keyof E]: string }): Texts<E> {
  const languages: { en: Record<string, string>; de: Record<string, string> } = { en, de };
  const of = (key: string): string => languages[locale.language][key] ?? key;
  const text = (key: string, values?: Record<string, string | number>): string => fill(of(key), values);
  const count = (key: string, count: number): string => {
    const form = new Intl.PluralRules(locale.language).select(count) === 'one' ? 'one' : 'other';
    return fill(of(`${key}_${form}`), { count: new Intl.NumberFormat(locale.tag).format(count) });
  };
  return Object.assign(text, { count, of, languages }) as unknown as Texts<E>;
}
