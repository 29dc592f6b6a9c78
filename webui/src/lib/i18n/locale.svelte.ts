/** The language of the pages: the browser's, unless chosen here. */
export type Language = 'en' | 'de';

export const LANGUAGES: Record<Language, string> = { en: 'English', de: 'Deutsch' };
const KEY = 'ubmc-language';

function initial(): Language {
  if (typeof navigator === 'undefined') return 'en';
  try {
    const kept = localStorage.getItem(KEY);
    if (kept === 'en' || kept === 'de') return kept;
  } catch {
    // storage can be forbidden
  }
  return navigator.languages.map((each) => each.slice(0, 2)).find((each) => each === 'en' || each === 'de') === 'de'
    ? 'de'
    : 'en';
}

/**
 * The language with its region, as the browser has it: `en` alone would be that of the United States, with their dates and
 * twelve hours. Who has no region for it gets dates that are read in one way only.
 */
export function tagOf(language: Language, wanted: readonly string[]): string {
  const found = wanted.find((each) => each.toLowerCase().startsWith(`${language}-`));
  return found ?? (language === 'en' ? 'en-GB' : language);
}

class Locale {
  language = $state<Language>(initial());
  /** For numbers and times: `en-GB`. */
  tag = $derived(tagOf(this.language, typeof navigator === 'undefined' ? [] : navigator.languages));

  choose(language: Language): void {
    this.language = language;
    try {
      localStorage.setItem(KEY, language);
    } catch {
      // then it holds for this page only
    }
  }
}

export const locale = new Locale();
