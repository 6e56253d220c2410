import { nowMs } from '../platform/clock.ts';

/** Without a terminal, a line that changes is printed this often. */
const plainEveryMs = 5_000;

/** Lines that stay, and one that changes in place: on a terminal it is overwritten, elsewhere it is printed now and then. */
export class Screen {
  readonly #live: boolean;
  #changing = false;
  #lastPlain = { key: '', text: '', atMs: 0 };

  readonly #write: (text: string) => void;

  constructor(live: boolean, write: (text: string) => void = (text) => void process.stdout.write(text)) {
    this.#live = live;
    this.#write = write;
  }

  get live(): boolean {
    return this.#live;
  }

  line(text = ''): void {
    this.#clear();
    this.#write(`${text}\n`);
  }

  /** `key` names what changes: a new key is always shown. */
  changing(key: string, text: string): void {
    if (this.#live) {
      this.#clear();
      this.#write(text.slice(0, (process.stdout.columns || 100) - 1));
      this.#changing = true;
      return;
    }
    const { atMs, text: before } = this.#lastPlain;
    if (before === text || (this.#lastPlain.key === key && nowMs() - atMs < plainEveryMs)) return;
    this.#lastPlain = { key, text, atMs: nowMs() };
    this.#write(`${text}\n`);
  }

  #clear(): void {
    if (this.#changing) this.#write('\r\u001B[2K');
    this.#changing = false;
  }
}

const barCells = 24;

export function bar(done: number, total: number): string {
  const share = total === 0 ? 1 : Math.min(1, done / total);
  const full = Math.round(share * barCells);
  return `[${'#'.repeat(full)}${'.'.repeat(barCells - full)}] ${String(Math.round(share * 100)).padStart(3)} %`;
}
