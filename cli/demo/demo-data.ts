import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { parse as parseCsv } from 'csv-parse';
import { CommandError } from '../command.ts';
import { contentTypeOf } from '../submit-file.ts';

export type DemoRow = { readonly id: string; readonly text: string; readonly label: string };

/** The parts of a demonstration: nothing of `heldOut` is ever sent to be learned. */
export type DemoPlan = {
  readonly firstLabels: readonly string[];
  /** Arrives with the second import; null when there are too few labels to hold one back. */
  readonly laterLabel: string | null;
  /** With mistakes in `corrections.length` labels. */
  readonly first: readonly DemoRow[];
  readonly later: readonly DemoRow[];
  /** The right labels of the rows that were wrong at first. */
  readonly corrections: readonly DemoRow[];
  readonly heldOut: readonly DemoRow[];
};

const heldOutShare = 0.15;
const mostMistakes = 50;
/** Mistakes are at most this share of the first rows. */
const mistakeShare = 0.05;

const fractionOf = (text: string): number => createHash('sha256').update(text).digest().readUInt32BE(0) / 2 ** 32;

/** Reads rows with `text` and `label` (and `id` where there is one) from .jsonl or .csv. */
export async function readRows(path: string): Promise<DemoRow[]> {
  const rows: DemoRow[] = [];
  let line = 0;
  const add = (value: { readonly id?: unknown; readonly text?: unknown; readonly label?: unknown }): void => {
    const { id, text, label } = value;
    if (typeof text !== 'string' || text === '' || typeof label !== 'string' || label === '')
      throw new CommandError(`${path}: row ${line} needs a text and a label`);
    rows.push({ id: typeof id === 'string' && id !== '' ? id : createHash('sha256').update(text).digest('hex').slice(0, 32), text, label });
  };
  try {
    if (contentTypeOf(path) === 'text/csv') {
      const records = createReadStream(path).pipe(parseCsv({ columns: true, bom: true, relax_column_count: true }));
      for await (const record of records) {
        line += 1;
        add(record as Record<string, string>);
      }
    } else {
      for await (const text of createInterface({ input: createReadStream(path, 'utf8') })) {
        line += 1;
        if (text.trim() !== '') add(JSON.parse(text) as Record<string, unknown>);
      }
    }
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(`${path}: row ${line} cannot be read (${error instanceof Error ? error.message : String(error)})`);
  }
  return rows;
}

/** Splits rows for the demonstration; the same rows give the same plan. */
export function planDemo(rows: readonly DemoRow[]): DemoPlan {
  const labels = [...new Set(rows.map(({ label }) => label))].sort();
  if (labels.length < 2) throw new CommandError('the demo needs rows of at least two labels');
  const laterLabel = labels.length > 2 ? (labels.at(-1) ?? null) : null;
  const firstLabels = laterLabel === null ? labels : labels.slice(0, -1);
  // Equal texts go to the same side, or the held-out part would hold what was learned.
  const isHeldOut = ({ text }: DemoRow): boolean => fractionOf(`held out ${text}`) < heldOutShare;
  const heldOut = rows.filter(isHeldOut);
  const learned = rows.filter((row) => !isHeldOut(row));
  const isLater = ({ text, label }: DemoRow): boolean => (laterLabel === null ? fractionOf(`later ${text}`) < 0.2 : label === laterLabel);
  const right = learned.filter((row) => !isLater(row));
  const mistakes = Math.min(mostMistakes, Math.floor(right.length * mistakeShare));
  const corrections = [...right].sort((a, b) => fractionOf(a.id) - fractionOf(b.id)).slice(0, mistakes);
  const wrong = new Set(corrections.map(({ id }) => id));
  const nextLabel = (label: string): string => firstLabels[(firstLabels.indexOf(label) + 1) % firstLabels.length] ?? label;
  return {
    firstLabels,
    laterLabel,
    first: right.map((row) => (wrong.has(row.id) ? { ...row, label: nextLabel(row.label) } : row)),
    later: learned.filter(isLater),
    corrections,
    heldOut,
  };
}
