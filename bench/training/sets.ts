import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Answer } from '../../catalog/contract.ts';
import type { JobRow } from '../../test/support/train-job.ts';

type Line = Readonly<Record<string, unknown>>;

/** A data set of MW_DATA_DIR as rows of a business model, with its usual split. */
export type DataSet = {
  readonly name: string;
  readonly model: string;
  readonly encoder: string;
  readonly rows: (dataDir: string) => JobRow[];
};

const english = 'all-MiniLM-L6-v2';
const multilingual = 'multilingual-e5-small';

function linesOf(dataDir: string, file: string): Line[] {
  const text = readFileSync(join(dataDir, file), 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}

const side = (lines: readonly Line[], split: JobRow['split'], exampleOf: (line: Line) => Line): JobRow[] =>
  lines.map((line, i) => ({ ...(exampleOf(line) as Answer), id: `${split}-${String(i).padStart(6, '0')}`, split }));

const whole = (line: Line): Line => line;
const labelled = ({ text, label }: Line): Line => ({ text, label });
const asked = ({ text, label }: Line): Line => ({ question: text, answerId: label });

/** BIO tags of words between spaces -> spans of code points; an I- without its like before it opens one. */
export function spansOfSlots({ text, slots }: Line): Line {
  const entities: { start: number; end: number; label: string }[] = [];
  const tags = String(slots).split(/\s+/u);
  let at = 0;
  let before = 'O';
  String(text)
    .split(/(\s+)/u)
    .forEach((part, i) => {
      const length = Array.from(part).length;
      // Every second part is what lies between two words.
      if (i % 2 === 0) {
        const tag = tags[i / 2] ?? 'O';
        const open = entities.at(-1);
        if (tag.startsWith('I') && before !== 'O' && before.slice(2) === tag.slice(2) && open) open.end = at + length;
        else if (tag !== 'O') entities.push({ start: at, end: at + length, label: tag.slice(2) });
        before = tag;
      }
      at += length;
    });
  return { text, entities };
}

const set = (
  name: string,
  model: string,
  encoder: string,
  [train, test]: readonly [string, string],
  exampleOf: (line: Line) => Line = whole,
): DataSet => ({
  name,
  model,
  encoder,
  rows: (dataDir) => [...side(linesOf(dataDir, train), 'train', exampleOf), ...side(linesOf(dataDir, test), 'evaluation', exampleOf)],
});

/** So many of the 1,000 texts out of scope calibrate, the others are asked about: the set has none to learn from. */
const calibratingTexts = 200;

export const dataSets: readonly DataSet[] = [
  set('banking77', 'text-classification', english, ['banking77/train.jsonl', 'banking77/test.jsonl']),
  {
    name: 'clinc150',
    model: 'text-classification',
    encoder: english,
    rows: (dataDir) => {
      const outside = linesOf(dataDir, 'clinc150/oos_test.jsonl');
      return [
        ...side([...linesOf(dataDir, 'clinc150/train.jsonl'), ...outside.slice(0, calibratingTexts)], 'train', whole),
        ...side([...linesOf(dataDir, 'clinc150/test.jsonl'), ...outside.slice(calibratingTexts)], 'evaluation', whole),
      ];
    },
  },
  set('snips-intents', 'text-classification', english, ['snips/train.jsonl', 'snips/test.jsonl'], labelled),
  set('snips-slots', 'entity-extraction', english, ['snips/train.jsonl', 'snips/test.jsonl'], spansOfSlots),
  set('sentiment-scores', 'text-scoring', english, ['sentiment-scores/train.jsonl', 'sentiment-scores/test.jsonl']),
  set('banking77-faq', 'text-similarity', english, ['banking77/train.jsonl', 'banking77/test.jsonl'], asked),
  set('crosswoz-labels', 'multi-label-classification', multilingual, [
    'crosswoz-zh/multi-label.train.jsonl',
    'crosswoz-zh/multi-label.test.jsonl',
  ]),
  set('crosswoz-entities', 'entity-extraction', multilingual, ['crosswoz-zh/entities.train.jsonl', 'crosswoz-zh/entities.test.jsonl']),
];
