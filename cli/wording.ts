import type { Json } from '../core/json.ts';
import { measured } from '../core/metrics.ts';

/** Numbers and times as people read them. */
export const count = (n: number): string => n.toLocaleString('en-US');
/** `1 object`, `2 objects`. */
export const counted = (n: number, what: string): string => `${count(n)} ${what}${n === 1 ? '' : 's'}`;
export const percent = (share: number): string => measured(share, 'share');

export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`;
}

export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = n;
  let unit = 0;
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

type Output = { readonly [field: string]: Json };

/** An output of `predict` in one cell: its label or text where it has one, else what its lists name, else everything. */
export function answerText(output: Output): string {
  const { label, text, score: _, ...rest } = output;
  if (typeof label === 'string') return label;
  if (typeof text === 'string') return text;
  const named = Object.values(rest).find((value) => Array.isArray(value)) as readonly Output[] | undefined;
  if (named) return named.map((item) => nameOf(item)).join(', ') || '-';
  return Object.keys(rest).length === 0 ? '-' : JSON.stringify(rest);
}

const nameOf = (item: Output): string => {
  const name = item['answerId'] ?? item['label'];
  return `${typeof name === 'string' ? name : JSON.stringify(item)}${typeof item['text'] === 'string' ? ` "${item['text']}"` : ''}`;
};

/** Confidence in percent beside a label; else a plain number. */
export function scoreText({ score, label }: Output): string {
  if (typeof score !== 'number') return '-';
  return label === undefined ? score.toFixed(3) : percent(score);
}

/** Left-aligned columns, as wide as they need be. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)));
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
