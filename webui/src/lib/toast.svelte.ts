/** Short news for the person at the page: what they did was accepted, or was not. */
export interface Toast {
  id: number;
  tone: 'ok' | 'critical' | 'info';
  text: string;
}

const SHOWN_MS = { ok: 5_000, info: 6_000, critical: 12_000 };
const MOST = 4;

class Toasts {
  all = $state<Toast[]>([]);
  #next = 1;

  show(text: string, tone: Toast['tone'] = 'ok'): void {
    const id = this.#next++;
    this.all = [...this.all, { id, tone, text }].slice(-MOST);
    setTimeout(() => this.dismiss(id), SHOWN_MS[tone]);
  }

  dismiss(id: number): void {
    this.all = this.all.filter((each) => each.id !== id);
  }
}

export const toasts = new Toasts();
