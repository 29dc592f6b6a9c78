/**
 * xterm.js under a strict Content-Security-Policy.
 *
 * xterm writes its theme into `<style>` elements and colours into `style` attributes; our `style-src 'self'` refuses
 * both. What scripts do by the CSS object model is allowed, so the same text goes there: the elements' text into
 * constructed style sheets, the attributes into `element.style`.
 */

type Make = (tag: string, options?: ElementCreationOptions) => HTMLElement;

/** Where the styles of one terminal go. */
export class Sheets {
  #sheets = new Set<CSSStyleSheet>();
  #real: Document;
  #make: Make;

  constructor(real: Document) {
    this.#real = real;
    this.#make = real.createElement.bind(real);
  }

  /** What xterm takes for the document: the real one, but for the elements that it makes. */
  get document(): Document {
    const create: Make = (tag, options) => this.#element(tag, options);
    return new Proxy(this.#real, {
      get(target, name) {
        if (name === 'createElement') return create;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
      }
    });
  }

  /** Do something during which the real document makes such elements too; parts of xterm ask that one. */
  during(what: () => void): void {
    const real = this.#real as unknown as { createElement?: Make };
    real.createElement = (tag, options) => this.#element(tag, options);
    try {
      what();
    } finally {
      // what lies on the prototype holds again
      delete real.createElement;
    }
  }

  /** Take all styles away. */
  dispose(): void {
    for (const sheet of [...this.#sheets]) this.#drop(sheet);
  }

  #element(tag: string, options?: ElementCreationOptions): HTMLElement {
    // a `<style>` is refused even while it is empty, so something else takes its place
    const element = tag === 'style' ? this.#make('span') : this.#make(tag, options);
    if (tag === 'style') this.#route(element);
    else if (tag === 'span') attributesByModel(element);
    return element;
  }

  #route(element: HTMLElement): void {
    const sheet = new CSSStyleSheet();
    element.hidden = true;
    this.#sheets.add(sheet);
    this.#real.adoptedStyleSheets = [...this.#real.adoptedStyleSheets, sheet];
    let text = '';
    Object.defineProperty(element, 'textContent', {
      get: () => text,
      set: (value: string) => {
        text = value;
        sheet.replaceSync(value);
      }
    });
    const remove = element.remove.bind(element);
    element.remove = () => {
      this.#drop(sheet);
      remove();
    };
  }

  #drop(sheet: CSSStyleSheet): void {
    this.#sheets.delete(sheet);
    this.#real.adoptedStyleSheets = this.#real.adoptedStyleSheets.filter((each) => each !== sheet);
  }
}

function attributesByModel(element: HTMLElement): void {
  const set = element.setAttribute.bind(element);
  element.setAttribute = (name, value) => {
    if (name === 'style') element.style.cssText = value;
    else set(name, value);
  };
}
