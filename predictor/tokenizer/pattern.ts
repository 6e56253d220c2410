import { z } from 'zod';

export const patternSchema = z.union([z.object({ String: z.string() }), z.object({ Regex: z.string() })]);

/** The pattern of a tokenizer.json: a plain string, or an expression in the part of the syntax that both languages share. */
export function patternOf(pattern: z.infer<typeof patternSchema>): RegExp {
  if ('String' in pattern) return new RegExp(pattern.String.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&'), 'gu');
  try {
    return new RegExp(pattern.Regex, 'gu');
  } catch (error) {
    throw new Error(`tokenizer.json has the expression ${pattern.Regex}, which is not supported`, { cause: error });
  }
}
