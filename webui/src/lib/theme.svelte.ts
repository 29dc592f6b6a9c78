/** Dark or light: as the system has it, unless chosen here. */
export type Theme = 'system' | 'light' | 'dark';

const KEY = 'ubmc-theme';

function kept(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : 'system';
  } catch {
    return 'system';
  }
}

class Appearance {
  theme = $state<Theme>('system');
  #system = $state(false);
  readonly dark = $derived(this.theme === 'dark' || (this.theme === 'system' && this.#system));

  /** Follows the system; call it once, in the browser. */
  start(): void {
    const query = matchMedia('(prefers-color-scheme: dark)');
    this.theme = kept();
    this.#system = query.matches;
    query.addEventListener('change', () => (this.#system = query.matches));
  }

  choose(theme: Theme): void {
    this.theme = theme;
    try {
      if (theme === 'system') localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, theme);
    } catch {
      // storage can be forbidden; then it holds for this page only
    }
  }
}

export const appearance = new Appearance();
