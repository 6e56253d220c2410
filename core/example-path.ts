import type { Json } from './json.ts';

/**
 * Where values lie in an example: `label`, `labels[]`, `entities[].label`, or `messages[role=user].content` (items whose field has this value).
 * The manifest of a business model says by such paths where texts and labels are.
 */
export const examplePathPattern = /^([A-Za-z]\w*)(?:\[(?:([A-Za-z]\w*)=([\w-]+))?\](?:\.([A-Za-z]\w*))?)?$/;

type Example = { readonly [field: string]: Json };

const isObject = (value: Json | undefined): value is Example => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Texts at a path, in the order of the example; what is no text is left out. */
export function textsAt(example: Example, path: string): string[] {
  const [, field = '', key, wanted, sub] = examplePathPattern.exec(path) ?? [];
  const value = example[field];
  const items: readonly (Json | undefined)[] = path.includes('[') ? (Array.isArray(value) ? value : []) : [value];
  return items
    .filter((item) => key === undefined || (isObject(item) && item[key] === wanted))
    .map((item) => (sub === undefined ? item : isObject(item) ? item[sub] : undefined))
    .filter((text) => typeof text === 'string');
}
