import type { Json } from '../core/json.ts';
import type { ModelParts } from './contract.ts';

/** A list of texts of answering.json, such as labels. */
export function textsOf({ answering }: ModelParts, name: string): string[] {
  const value = answering[name];
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string'))
    throw new Error(`answering.json has no list of texts "${name}"`);
  return value;
}

/** A number of answering.json; null where there is none. */
export function numberOf({ answering }: ModelParts, name: string): number | null {
  const value: Json | undefined = answering[name];
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}
