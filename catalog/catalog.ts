import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { examplePathPattern } from '../core/example-path.ts';
import { sha256Hex } from '../platform/hash.ts';
import type { Evaluation, LoadAnswerer } from './contract.ts';

const fraction = z.number().min(0).max(1);
const count = z.number().int().min(0);
const path = z.string().regex(examplePathPattern, 'must be a path such as label, labels[] or entities[].label');
const jsonSchema = z.looseObject({
  type: z.literal('object'),
  additionalProperties: z.literal(false),
  properties: z.record(z.string(), z.looseObject({})),
});
const options = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]));

/** The manifest of a business model: business-model.json of its folder. */
const manifestSchema = z
  .strictObject({
    id: z.string().regex(/^[a-z0-9]+(-[a-z0-9]+)*$/),
    version: z.string(),
    title: z.string(),
    task: z.string(),
    languages: z.array(z.string()),
    methods: z.array(z.string()).min(1),
    /** The kind of base model that it starts from. */
    base: z.enum(['encoder', 'causal-lm']).default('encoder'),
    /** The figure of the evaluation that the gate goes by, and how it is shown. */
    metric: z.string(),
    metricUnit: z.enum(['share', 'number']),
    /** Where things are in an example. */
    fields: z.strictObject({
      /** The text that stands for the example: duplicates and the split go by it. */
      text: path,
      /** Its labels, for counts and the minimum; null: it has none. */
      labels: path.nullable(),
      /** Fields that are the right answer. */
      answer: z.array(z.string()).min(1),
      /** Fields that `predict` takes; a plain text stands for the first. */
      input: z.array(z.string()).min(1),
    }),
    minimumData: z.strictObject({
      /** So many labels must have so many examples each. */
      labels: count,
      examplesPerLabel: count,
      /** Rows in all. */
      rows: count,
    }),
    gate: z.strictObject({
      margin: fraction,
      minimumMetric: fraction,
      /** A label that is recognised less often holds a version back, unless it was so before. */
      labelFloor: fraction,
      minimumTestRows: z.number().int(),
      significance: fraction,
      /** The p of the paired test below which a worse metric holds a version back; below `significance` it rejects it. */
      doubt: fraction.default(0.3),
      /** A label that is recognised this much less often than production does, as a share of production's recall, holds a version back. */
      labelDrop: fraction.default(0.5),
      /** Evaluation rows, as a share, that may be on the training side too. */
      maximumLeak: fraction.default(0.1),
      /** Rows that production learned from, as a share, that may have got another answer at once. */
      maximumRelabelled: fraction.default(0.1),
      /** Rows of a label, as a share, that may have gone since production learned; 1: all. */
      maximumLabelLoss: fraction.default(0.5),
      /** How far the metric may lie below what production reached when it was published, whatever production reaches on today's rows. */
      maximumFall: fraction.default(0.1),
      /** CPU time of a text of 32 tokens in an encoder of the version's own, in milliseconds and as a multiple of production's. */
      maximumLatencyMs: z.number().min(0).default(1_000),
      maximumSlowdown: z.number().min(1).default(3),
      /** Weights and encoder of a version. */
      maximumModelBytes: count.default(2 * 1024 ** 3),
    }),
    /** What a training takes at most, for its host; on a cluster it gets the resource tier of that name, unless the options name another. */
    resources: z.strictObject({ memoryBytes: count, threads: z.number().int().min(1), tier: z.string().default('small') }),
    /** Options that go together; `tier` in the options chooses one. */
    tiers: z.strictObject({ fast: options, balanced: options, accurate: options }),
    optionSchema: jsonSchema,
    exampleSchema: jsonSchema,
  })
  .superRefine(({ fields, tiers, optionSchema, exampleSchema }, context) => {
    const lacks = (where: (string | number)[], name: string, schema: string): void =>
      context.addIssue({ code: 'custom', path: where, message: `${name} is not a property of ${schema}` });
    const fieldOf = (text: string): string => /^\w+/.exec(text)?.[0] ?? text;
    const named = [fields.text, ...(fields.labels === null ? [] : [fields.labels]), ...fields.answer, ...fields.input].map(fieldOf);
    for (const name of named) if (!(name in exampleSchema.properties)) lacks(['fields'], name, 'exampleSchema');
    for (const [tier, values] of Object.entries(tiers))
      for (const name of Object.keys(values)) if (!(name in optionSchema.properties)) lacks(['tiers', tier], name, 'optionSchema');
  });

/** A business model: its manifest, and the code of its folder. */
export type BusinessModel = z.infer<typeof manifestSchema> & {
  readonly evaluation: Evaluation;
  readonly loadAnswerer: LoadAnswerer;
  /** trainer.py, which a training job loads. */
  readonly trainerFile: string;
  readonly trainerDigest: string;
};

export type Catalog = ReadonlyMap<string, BusinessModel>;

/** Reads every folder of the catalogue, and of one more beside it (MW_CATALOG_DIR). What does not hold names its file and field. */
export async function loadCatalog(further?: string): Promise<Catalog> {
  const models = new Map<string, BusinessModel>();
  for (const folder of [import.meta.dirname, ...(further === undefined ? [] : [resolve(further)])]) {
    if (!existsSync(folder)) throw new Error(`${folder} does not exist: MW_CATALOG_DIR must name a folder of business models`);
    const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'));
    for (const { name } of names) {
      // A folder of something else is none of ours; one that lacks a file that it needs is told.
      if (!existsSync(join(folder, name, 'business-model.json'))) continue;
      if (models.has(name)) throw new Error(`${join(folder, name)}: there is a business model ${name} already`);
      models.set(name, await loadBusinessModel(join(folder, name), name));
    }
  }
  return models;
}

async function loadBusinessModel(folder: string, name: string): Promise<BusinessModel> {
  const file = join(folder, 'business-model.json');
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`${file} is not JSON`, { cause: error });
  }
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success) throw new Error(`${file}: ${z.prettifyError(parsed.error)}`);
  if (parsed.data.id !== name) throw new Error(`${file}: id ${parsed.data.id} must be the folder's name`);
  const { evaluation } = await exportsOf<{ evaluation: Evaluation }>(join(folder, 'evaluation.ts'), 'evaluation');
  const { loadAnswerer } = await exportsOf<{ loadAnswerer: LoadAnswerer }>(join(folder, 'answer.ts'), 'loadAnswerer');
  const trainerFile = join(folder, 'trainer.py');
  if (!existsSync(trainerFile)) throw new Error(`${trainerFile} is missing: a business model needs its trainer`);
  return { ...parsed.data, evaluation, loadAnswerer, trainerFile, trainerDigest: sha256Hex(readFileSync(trainerFile)) };
}

async function exportsOf<T>(file: string, name: string & keyof T): Promise<T> {
  if (!existsSync(file)) throw new Error(`${file} is missing: it must export ${name}`);
  const module = (await import(pathToFileURL(file).href)) as T;
  if (module[name] === undefined) throw new Error(`${file} does not export ${name}`);
  return module;
}

/** A validator of a JSON schema from the catalogue; options get the schema's defaults filled in. */
export const validatorOf = (schema: BusinessModel['optionSchema']): z.ZodType<Record<string, unknown>> =>
  z.fromJSONSchema(schema) as z.ZodType<Record<string, unknown>>;

/**
 * The options that a request means: those of its tier stand in for what it does not name itself, and take the place of what was set before.
 * Beside another method than the tier's own, only the request's own words count: epochs of a fine-tuning say nothing to a head.
 */
export function withTier(
  { tiers }: Pick<BusinessModel, 'tiers'>,
  before: Readonly<Record<string, unknown>>,
  asked: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const chosen = Object.hasOwn(asked, 'tier') ? asked['tier'] : before['tier'];
  const tier: Readonly<Record<string, unknown>> =
    typeof chosen === 'string' && Object.hasOwn(tiers, chosen) ? tiers[chosen as keyof typeof tiers] : {};
  const otherMethod = Object.hasOwn(asked, 'method') && asked['method'] !== (tier['method'] ?? before['method']);
  if (!Object.hasOwn(asked, 'tier') && !otherMethod) return { ...before, ...asked };
  // What another tier, or the tier for another method, has set must not outlive it.
  const set = new Set(Object.values(tiers).flatMap((values) => Object.keys(values)));
  const kept = Object.fromEntries(Object.entries(before).filter(([name]) => !set.has(name)));
  return { ...kept, ...(otherMethod ? {} : tier), ...asked };
}
