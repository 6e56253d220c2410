import type { Json } from '../core/json.ts';

/** What the platform itself wrote beside the fields of an example. */
const notContent = new Set(['id', 'split']);

/** Every text in an example, wherever it stands: questions, answers, messages, labels. Each once. */
export function exampleTexts(example: { readonly [field: string]: Json }): string[] {
  const texts = new Set<string>();
  const visit = (value: Json): void => {
    if (typeof value === 'string') texts.add(value);
    else if (Array.isArray(value)) (value as readonly Json[]).forEach(visit);
    else if (typeof value === 'object' && value !== null) Object.values(value as { readonly [key: string]: Json }).forEach(visit);
  };
  for (const [field, value] of Object.entries(example)) if (!notContent.has(field)) visit(value);
  return [...texts];
}
