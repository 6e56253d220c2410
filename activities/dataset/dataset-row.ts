import { type BusinessModel, validatorOf } from '../../catalog/catalog.ts';
import type { DatasetRow } from '../../core/dataset.ts';
import { type Json, canonicalJson } from '../../core/json.ts';
import { normalisedText, splitOf } from './split.ts';

/** A row of the table as the dataset sees it: used, or left out with a reason that never quotes the row. */
export type ShapedRow =
  | { readonly used: true; readonly row: DatasetRow; readonly label: string | null; readonly textKey: string }
  | { readonly used: false; readonly reason: string };

export type RowShaper = (exampleId: string, content: unknown) => ShapedRow;

/** What decides the split is not for the trainer: it learns from the rest. */
const splitFields = new Set(['group', 'split']);

/** Shapes rows of one business model. Rows that came through the API hold; those written by other programs may not. */
export function rowShaper(model: BusinessModel, salt: string, maxTextChars: number): RowShaper {
  const validator = validatorOf(model.exampleSchema);
  return (exampleId, content) => {
    const parsed = validator.safeParse(content);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      return { used: false, reason: `/${issue?.path.join('/') ?? ''} ${issue?.code ?? 'invalid'}` };
    }
    const example = parsed.data as { readonly [field: string]: Json };
    const { text, label, group, split } = example;
    if (typeof text === 'string') {
      if (text.trim() === '') return { used: false, reason: '/text blank' };
      if (text.length > maxTextChars * 2) return { used: false, reason: '/text too_big' };
    }
    const identity = typeof text === 'string' ? normalisedText(text) : canonicalJson(example);
    const pinned = split === 'train' || split === 'evaluation' ? split : null;
    const side = pinned ?? splitOf(salt, typeof group === 'string' ? `group ${group}` : `text ${identity}`);
    const learned = Object.fromEntries(Object.entries(example).filter(([field]) => !splitFields.has(field)));
    return {
      used: true,
      row: { ...learned, id: exampleId, split: side },
      label: typeof label === 'string' ? label : null,
      textKey: identity,
    };
  };
}
