import { createHash } from 'node:crypto';
import type { Split } from '../../core/dataset.ts';

/** Share of the rows that a customization is judged by. */
export const evaluationShare = 0.15;

/** Texts that differ only in case, width, punctuation or white space are one text. A text of punctuation alone stands for itself. */
export function normalisedText(text: string): string {
  const folded = text.normalize('NFKC').toLowerCase();
  const words = folded.replace(/[^\p{L}\p{M}\p{N}]+/gu, ' ').trim();
  return words === '' ? folded : words;
}

/** Sticky: a function of the salt and the row's group alone, so that a row never moves and equal texts never straddle. */
export function splitOf(salt: string, group: string): Split {
  const first = createHash('sha256').update(salt).update('\0').update(group).digest().readUInt32BE(0);
  return first / 2 ** 32 < evaluationShare ? 'evaluation' : 'train';
}
