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

class Locale {
  language = $state<Language>(initial());

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
