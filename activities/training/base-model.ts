import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { failure } from '../failure.ts';

/** modelwright.json of a base encoder's folder: what serving and training must agree on. */
const baseModelSchema = z.looseObject({
  name: z.string(),
  dim: z.number().int(),
  maxTokens: z.number().int(),
  prefix: z.string(),
  sha256: z.record(z.string(), z.string()),
});

export type BaseModel = z.infer<typeof baseModelSchema> & { readonly folder: string };

export async function loadBaseModel(modelsDir: string, name: string): Promise<BaseModel> {
  const folder = join(modelsDir, name);
  const text = await readFile(join(folder, 'modelwright.json'), 'utf8').catch((error: unknown) => {
    throw failure('BadOptions', `the encoder ${name} is not installed on this worker: run \`./mw up\`, or choose another baseModel`, error);
  });
  return { ...baseModelSchema.parse(JSON.parse(text)), folder };
}
