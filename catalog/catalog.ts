import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const fraction = z.number().min(0).max(1);
const jsonSchema = z.looseObject({
  type: z.literal('object'),
  additionalProperties: z.literal(false),
  properties: z.record(z.string(), z.looseObject({})),
});

/** The manifest of a business model: one folder under catalog/, one business-model.json. */
export const businessModelSchema = z.strictObject({
  id: z.string(),
  version: z.string(),
  title: z.string(),
  task: z.string(),
  languages: z.array(z.string()),
  methods: z.array(z.string()).min(1),
  metric: z.string(),
  minimumData: z.strictObject({ labels: z.number().int(), examplesPerLabel: z.number().int() }),
  gate: z.strictObject({
    margin: fraction,
    minimumMetric: fraction,
    labelFloor: fraction,
    minimumTestRows: z.number().int(),
    significance: fraction,
  }),
  /** Module of the trainer package. */
  trainer: z.string(),
  optionSchema: jsonSchema,
  exampleSchema: jsonSchema,
});
export type BusinessModel = z.infer<typeof businessModelSchema>;

export type Catalog = ReadonlyMap<string, BusinessModel>;

/** Reads every folder of the catalogue; a manifest that does not hold names its file and field. */
export function loadCatalog(folder: string = import.meta.dirname): Catalog {
  const models = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => {
      const file = join(folder, entry.name, 'business-model.json');
      const parsed = businessModelSchema.safeParse(JSON.parse(readFileSync(file, 'utf8')));
      if (!parsed.success) throw new Error(`${file}: ${z.prettifyError(parsed.error)}`);
      if (parsed.data.id !== entry.name) throw new Error(`${file}: id ${parsed.data.id} must be the folder's name`);
      return [parsed.data.id, parsed.data] as const;
    });
  return new Map(models);
}

/** A validator of a JSON schema from the catalogue; options get the schema's defaults filled in. */
export const validatorOf = (schema: BusinessModel['optionSchema']): z.ZodType<Record<string, unknown>> =>
  z.fromJSONSchema(schema) as z.ZodType<Record<string, unknown>>;
