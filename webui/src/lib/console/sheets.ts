/**
 * xterm.js under a strict Content-Security-Policy.
 *
 * xterm writes its theme into `<style>` elements and colours into `style` attributes; our `style-src 'self'` refuses
 * both. What scripts do by the CSS object model is allowed, so the same text goes there: the elements' text into
 * constructed style sheets, the attributes into `element.style`. As long as a terminal is on the page, the document
 * therefore makes these two kinds of elements so; xterm asks it directly, whatever document it is given.
 */

type Make = (tag: string, options?: ElementCreationOptions) => HTMLElement;

/** Where the styles of one terminal go. */
export class Sheets {
  #sheets = new Set<CSSStyleSheet>();
  #document: { createElement?: Make } & Pick<Document, 'adoptedStyleSheets'>;
  #native: Make;
  readonly #make: Make = (tag, options) => this.#element(tag, options);

  constructor(real: Document) {
    this.#document = real as unknown as { createElement?: Make } & Pick<Document, 'adoptedStyleSheets'>;
    this.#native = Document.prototype.createElement.bind(real);
    this.#document.createElement = this.#make;
  }

  /** Takes all styles away; elements are made as ever again. */
  dispose(): void {
    // what lies on the prototype holds again, unless the next terminal is there already
    if (this.#document.createElement === this.#make) delete this.#document.createElement;
    for (const sheet of [...this.#sheets]) this.#drop(sheet);
  }

  #element(tag: string, options?: ElementCreationOptions): HTMLElement {
    // a `<style>` is refused even while it is empty, so something else takes its place
    if (tag === 'style') return this.#route(this.#native('span'));
    const element = this.#native(tag, options);
    return tag === 'span' ? attributesByModel(element) : element;
  }

  #route(element: HTMLElement): HTMLElement {
    const sheet = new CSSStyleSheet();
    element.hidden = true;
    this.#sheets.add(sheet);
    this.#document.adoptedStyleSheets = [...this.#document.adoptedStyleSheets, sheet];
    let text = '';
    Object.defineProperty(element, 'textContent', {
      get: () => text,
      set: (value: string) => {
        text = value;
        sheet.replaceSync(value);
      },
    });
    const remove = element.remove.bind(element);
    element.remove = () => {
      this.#drop(sheet);
      remove();
    };
    return element;
  }

  #drop(sheet: CSSStyleSheet): void {
    this.#sheets.delete(sheet);
    this.#document.adoptedStyleSheets = this.#document.adoptedStyleSheets.filter((each) => each !== sheet);
  }
}

function attributesByModel(element: HTMLElement): HTMLElement {
  const set = element.setAttribute.bind(element);
  element.setAttribute = (name, value) => {
    if (name === 'style') element.style.cssText = value;
    else set(name, value);
  };
  return element;
}
