import { type BusinessModel, validatorOf } from '../../catalog/catalog.ts';
import { type ExampleFacts, factsOf, textPointer } from '../../catalog/example-facts.ts';
import type { DatasetRow } from '../../core/dataset.ts';
import { type Json, canonicalJson } from '../../core/json.ts';
import { normalisedText, splitOf } from './split.ts';

/** A row of the table as the dataset sees it: used, or left out with a reason that never quotes the row. */
export type ShapedRow =
  | { readonly used: true; readonly row: DatasetRow; readonly facts: ExampleFacts; readonly textKey: string }
  | { readonly used: false; readonly reason: string };

export type RowShaper = (exampleId: string, content: unknown) => ShapedRow;

/** What decides the split is not for the trainer: it learns from the rest. */
const splitFields = new Set(['group', 'split']);

/** Shapes rows of one business model. Rows that came through the API hold; those written by other programs may not. */
export function rowShaper(model: BusinessModel, salt: string, maxTextChars: number): RowShaper {
  const validator = validatorOf(model.exampleSchema);
  const pointer = textPointer(model);
  return (exampleId, content) => {
    const parsed = validator.safeParse(content);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      return { used: false, reason: `/${issue?.path.join('/') ?? ''} ${issue?.code ?? 'invalid'}` };
    }
    const example = parsed.data as { readonly [field: string]: Json };
    const { group, split, golden } = example;
    const facts = factsOf(model, example);
    const { text } = facts;
    if (text !== null) {
      if (text.trim() === '') return { used: false, reason: `${pointer} blank` };
      if (text.length > maxTextChars * 2) return { used: false, reason: `${pointer} too_big` };
    }
    const problem = model.evaluation.exampleProblem?.(example);
    if (problem) return { used: false, reason: `${problem.pointer} ${problem.message}` };
    const identity = text === null ? canonicalJson(example) : normalisedText(text);
    // A golden example asks; it must not teach, whatever else it says.
    const pinned = golden === true ? 'evaluation' : split === 'train' || split === 'evaluation' ? split : null;
    const side = pinned ?? splitOf(salt, typeof group === 'string' ? `group ${group}` : `text ${identity}`);
    const learned = Object.fromEntries(Object.entries(example).filter(([field]) => !splitFields.has(field)));
    return {
      used: true,
      row: { ...learned, id: exampleId, split: side },
      facts,
      textKey: identity,
    };
  };
}
