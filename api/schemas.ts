import { z } from 'zod';
import { cronProblem } from '../core/cron.ts';
import { maxForgotten } from '../core/forgetting.ts';
import { exampleIdPattern, idPattern } from '../core/ids.ts';
import { quotaNames } from '../core/quotas.ts';
import { schemaActions } from '../core/schema-change.ts';

/** Shapes of requests: the single source of the OpenAPI file. */
const id = z.string().regex(idPattern, 'use 1 to 64 of a-z, 0-9 and -, not at the ends');

export const tenantParams = z.object({ tenant: z.string() });
export const customizationParams = z.object({ c: z.string() });
export const exampleParams = customizationParams.extend({ exampleId: z.string() });
export const runParams = customizationParams.extend({ n: z.coerce.number().int().positive() });
export const modelParams = customizationParams.extend({
  v: z.string().regex(/^v?[1-9][0-9]{0,8}$/, 'a version is a number, such as 3 or v3'),
});
export const gtidParams = z.object({ gtid: z.string() });

export const holdParams = tenantParams.extend(modelParams.shape);
export const gcBody = z.strictObject({ dryRun: z.boolean().default(false) }).default({ dryRun: false });

const maxPage = 1_000;
export const pageQuery = z.object({ limit: z.coerce.number().int().min(1).max(maxPage).default(50), cursor: z.string().optional() });
/** Time enough for a large model; less for an address that is passed on. */
export const filesQuery = z.object({
  expiresIn: z.coerce.number().int().min(1).max(86_400).default(3_600).describe('seconds for which the addresses are valid'),
});
export const importQuery = z.object({ dryRun: z.enum(['0', '1', 'false', 'true']).optional() });
export const receiptQuery = z.object({
  wait: z.enum(['sensed', 'due', 'dataset', 'training', 'gate', 'published', 'serving']).optional(),
  timeoutMs: z.coerce.number().int().min(0).max(300_000).default(30_000),
});

/** Absent: no limit. */
const quotas = z.strictObject(
  {
    concurrentTrainings: z.number().int().min(0).optional().describe('runs of the tenant at the same time; a paused one is none of them'),
    gpuSecondsPerDay: z.number().min(0).optional().describe('GPU seconds that its trainings may use in 24 hours'),
    storageBytes: z.number().int().min(0).optional().describe('bytes that its datasets and models may have in the store'),
  },
  {
    error: ({ code }) =>
      code === 'unrecognized_keys' ? `is no quota: there are ${quotaNames.slice(0, -1).join(', ')} and ${quotaNames.at(-1)}` : undefined,
  },
);
const placement = z
  .string()
  .max(32)
  .nullable()
  .describe('a name of MW_PLACEMENTS: the bucket and storage class of what the tenant stores; null: the default')
  .optional();
export const createTenant = z.strictObject({ id, name: z.string().min(1).max(200), quotas: quotas.default({}), placement });
export const patchTenant = z.strictObject({
  name: z.string().min(1).max(200).optional(),
  quotas: quotas.optional(),
  placement,
});

const ms = z.number().int().min(0).max(31_536_000_000);
export const policy = z.strictObject({
  mode: z.enum(['auto', 'propose', 'manual']),
  quietPeriodMs: ms,
  maxWaitMs: ms,
  minChangedRows: z.number().int().min(1),
  minChangedFraction: z.number().min(0).max(1),
  windowCron: z
    .string()
    .nullable()
    .superRefine((text, context) => {
      const problem = text === null ? null : cronProblem(text);
      if (problem) context.addIssue({ code: 'custom', message: problem });
    }),
  maxRunsPerDay: z.number().int().min(0).nullable(),
  budgetTrainingSeconds: z.number().min(0).nullable(),
  deletionDeadlineMs: ms,
  servingSloMs: ms.min(1).nullable(),
});

const maxName = 64;
const sqlName = z.string().min(1).max(maxName);
const sourceFilter = z.strictObject({ column: sqlName, equals: z.string().max(255) });
/** Where examples come from: a table that was granted, which column is which field, and which rows. */
export const sourceMapping = z.strictObject({
  database: sqlName,
  table: sqlName,
  columns: z.record(z.string(), sqlName),
  filter: sourceFilter.nullable().optional(),
});
export const grantSource = z.strictObject({ database: sqlName, table: sqlName, filter: sourceFilter.optional() });
export const grantParams = tenantParams.extend({ database: z.string(), table: z.string() });

const schemaPolicy = z.enum(['hold', 'adopt', 'adopt_and_retrain', 'ignore']);

export const createCustomization = z.strictObject({
  id: id.optional(),
  name: z.string().min(1).max(200),
  businessModel: z.string(),
  options: z.record(z.string(), z.unknown()).default({}),
  policy: z.record(z.string(), z.unknown()).default({}),
  schemaPolicy: schemaPolicy.default('hold'),
  source: sourceMapping.optional(),
});
export const patchCustomization = z.strictObject({
  name: z.string().min(1).max(200).optional(),
  options: z.record(z.string(), z.unknown()).optional(),
  policy: z.record(z.string(), z.unknown()).optional(),
  schemaPolicy: schemaPolicy.optional(),
  state: z.enum(['active', 'paused']).optional(),
  source: sourceMapping.optional(),
});

export const exampleId = z.string().regex(exampleIdPattern, 'use 1 to 128 printable characters without white space and slash');
/** The fields of an example are those of the business model's example schema. */
const looseExample = z.looseObject({ id: exampleId.optional() });
const maxItems = 1_000;
export const createExamples = z.union([z.strictObject({ items: z.array(z.unknown()).min(1).max(maxItems) }), looseExample]);
export const putExample = z.looseObject({});

const reason = z.string().max(500).optional();
export const retrainBody = z.strictObject({ reason, force: z.boolean().optional() }).default({});
export const promoteBody = z.strictObject({ reason, force: z.boolean().optional() }).default({});
const mysqlName = z.string().min(1).max(130);
export const approveSchemaBody = z
  .strictObject({
    action: z.enum(schemaActions),
    changeId: z.string().max(255).optional(),
    columns: z.record(z.string().min(1), mysqlName).optional(),
    table: mysqlName.optional(),
    reason,
  })
  .refine(({ action, columns, table }) => (action === 'remap') === (columns !== undefined || table !== undefined), {
    message: 'columns or table go with action remap, and with no other',
    path: ['action'],
  });
export const forgetBody = z.strictObject({
  exampleIds: z.array(exampleId).min(1).max(maxForgotten),
  deadlineMs: ms
    .optional()
    .describe("from now on; then what learned them goes, whether something else serves or not (default: the policy's deletionDeadlineMs)"),
  reason,
});
export const reasonBody = z.strictObject({ reason }).default({});

const maxInputs = 1_000;
// The fields of an input are those that the business model takes; a plain text stands for the first.
const predictInput = z.union([z.string().min(1), z.looseObject({})]);
export const predictBody = z.strictObject({
  inputs: z.array(predictInput).min(1).max(maxInputs),
  version: z.union([z.number().int().positive(), z.string().regex(/^v?[1-9][0-9]{0,8}$/)]).optional(),
  topK: z.number().int().min(1).max(100).optional(),
});
export const predictionParams = z.object({ id: z.string() });
/** What was asked, unchanged, and the fields of the example that are its right answer. */
export const feedbackBody = z.strictObject({ input: predictInput, answer: z.looseObject({}) });

export const problemBody = z.object({
  type: z.string(),
  title: z.string(),
  status: z.number(),
  detail: z.string(),
  code: z.string(),
  errors: z.array(
    z.object({ pointer: z.string().optional(), line: z.number().optional(), index: z.number().optional(), message: z.string() }),
  ),
});
