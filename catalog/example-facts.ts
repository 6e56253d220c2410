import { textsAt } from '../core/example-path.ts';
import { type Json, canonicalJson } from '../core/json.ts';
import type { BusinessModel } from './catalog.ts';

type Example = { readonly [field: string]: Json };

/** What the platform asks of an example, whatever its business model. */
export type ExampleFacts = {
  /** The text that stands for the example: equal texts are duplicates and stay on one side. The last of several; null: it has none. */
  readonly text: string | null;
  /** Each label once. */
  readonly labels: readonly string[];
  /** Equal texts with different answers contradict each other. The order of a list does not count. */
  readonly answer: string;
};

const unordered = (value: Json): Json => {
  if (!Array.isArray(value)) return value;
  const sorted = [...(value as readonly Json[])].map((item) => [canonicalJson(item), item] as const).sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([, item]) => item);
};

export function factsOf({ fields }: Pick<BusinessModel, 'fields'>, example: Example): ExampleFacts {
  return {
    text: textsAt(example, fields.text).at(-1) ?? null,
    labels: fields.labels === null ? [] : [...new Set(textsAt(example, fields.labels))],
    answer: canonicalJson(fields.answer.map((field) => unordered(example[field] ?? null))),
  };
}

/** Where a problem with the identifying text is shown. */
export const textPointer = ({ fields }: Pick<BusinessModel, 'fields'>): string => `/${/^\w+/.exec(fields.text)?.[0] ?? ''}`;
