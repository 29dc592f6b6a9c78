/** A terminal on the page, by xterm.js, with what a host must not do turned off. */
import { FitAddon } from '@xterm/addon-fit';
import { SearchAddon } from '@xterm/addon-search';
import { Terminal } from '@xterm/xterm';

import { Sheets } from './sheets.ts';

const SCROLLBACK = 10_000;
/**
 * Operating system commands that reach out of the screen: window titles (0, 1, 2), the working directory (7),
 * hyperlinks (8), notifications (9, 777), the clipboard (52), files and pictures (1337).
 */
const REFUSED_OSC = [0, 1, 2, 7, 8, 9, 52, 777, 1337];

export interface ScreenEvents {
  typed(data: Uint8Array): void;
  /** Ctrl+Alt+Escape: the way out for who has only a keyboard. */
  left(): void;
}

export class Screen {
  readonly terminal: Terminal;
  readonly #fit = new FitAddon();
  readonly #search = new SearchAddon();
  readonly #sheets = new Sheets(document);
  readonly #observer: ResizeObserver;
  /** So many pieces of old output are being shown. */
  #old = 0;

  constructor(parent: HTMLElement, label: string, events: ScreenEvents) {
    this.terminal = new Terminal({
      scrollback: SCROLLBACK,
      fontFamily: getComputedStyle(parent).fontFamily,
      fontSize: 14,
      minimumContrastRatio: 4.5,
      screenReaderMode: true,
      allowProposedApi: false,
      // no reports of window size or title: a host could make them type something (CVE-2003-0063)
      windowOptions: {},
      theme: { background: '#10161c', foreground: '#e6ebef', cursor: '#63cfc8', selectionBackground: '#31566b' },
    });
    for (const code of REFUSED_OSC) this.terminal.parser.registerOscHandler(code, () => true);
    this.terminal.loadAddon(this.#fit);
    this.terminal.loadAddon(this.#search);
    this.terminal.open(parent);
    this.terminal.textarea?.setAttribute('aria-label', label);
    const encoder = new TextEncoder();
    // what old output asks of a terminal was answered long ago; an answer now would be typed into the host
    const typed = (data: Uint8Array): void => void (this.#old === 0 && events.typed(data));
    this.terminal.onData((text) => typed(encoder.encode(text)));
    this.terminal.onBinary((text) => typed(Uint8Array.from(text, (each) => each.charCodeAt(0))));
    this.terminal.attachCustomKeyEventHandler((event) => {
      const out = event.ctrlKey && event.altKey && event.key === 'Escape';
      if (out && event.type === 'keydown') events.left();
      return !out;
    });
    this.#observer = new ResizeObserver(() => this.#fit.fit());
    this.#observer.observe(parent);
  }

  /** Shows bytes of the host; old ones are only shown. */
  write(data: Uint8Array, old: boolean): void {
    if (old) this.#old++;
    this.terminal.write(data, () => {
      if (old) this.#old--;
    });
  }

  /** A line of ours between those of the host. */
  note(text: string): void {
    this.terminal.write(`\r\n\x1b[7m[${text.replace(/[^\x20-\x7e\u00a0-\uffff]/g, '?')}]\x1b[0m\r\n`);
  }

  /** Whether there is a hit. */
  find(text: string, backwards: boolean): boolean {
    return backwards ? this.#search.findPrevious(text) : this.#search.findNext(text);
  }

  /** All lines that are kept, as text. */
  text(): string {
    const buffer = this.terminal.buffer.active;
    const lines: string[] = [];
    for (let at = 0; at < buffer.length; at++) {
      const line = buffer.getLine(at);
      const part = line?.translateToString(true) ?? '';
      if (line?.isWrapped && lines.length) lines[lines.length - 1] += part;
      else lines.push(part);
    }
    return `${lines.join('\n').trimEnd()}\n`;
  }

  dispose(): void {
    this.#observer.disconnect();
    this.terminal.dispose();
    this.#sheets.dispose();
  }
}
