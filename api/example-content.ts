import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { type BusinessModel, type Catalog, validatorOf } from '../catalog/catalog.ts';
import type { Answer } from '../catalog/contract.ts';
import { factsOf, textPointer } from '../catalog/example-facts.ts';
import { exampleIdPattern } from '../core/ids.ts';
import { type SourceMapping, sourceName } from '../core/source-mapping.ts';
import type { Pool, RowDataPacket } from '../platform/mysql.ts';
import { bucketOf } from '../platform/hash.ts';
import type { PoolConnection } from '../platform/mysql.ts';
import { Problem } from './problems.ts';

export type Checked =
  | { readonly ok: true; readonly id: string; readonly content: string }
  | { readonly ok: false; readonly errors: readonly { readonly pointer: string; readonly message: string }[] };

/** Checks one example against the schema of its business model. Messages name fields and limits, never what the field holds. */
export type ExampleChecker = (value: unknown, id?: string) => Checked;

const madeIdLength = 32;

export function exampleChecker(model: BusinessModel, maxTextChars: number): ExampleChecker {
  const validator = validatorOf(model.exampleSchema);
  const pointer = textPointer(model);
  return (value, givenId) => {
    const parsed = validator.safeParse(value);
    if (!parsed.success) return { ok: false, errors: parsed.error.issues.flatMap(fieldErrors) };
    const { id: ownId, ...content } = parsed.data;
    const { text } = factsOf(model, content as Answer);
    if (text !== null) {
      if (text.trim() === '') return bad(pointer, 'must not be blank');
      if (text.length > maxTextChars && Array.from(text).length > maxTextChars)
        return bad(pointer, `has more than ${maxTextChars} characters (MW_MAX_TEXT_CHARS)`);
    }
    const problem = model.evaluation.exampleProblem?.(content as Answer);
    if (problem) return bad(problem.pointer, problem.message);
    const made = (): string =>
      createHash('sha256')
        // A text inside a list is not all that is asked: two conversations may end with the same words.
        .update(text !== null && /^\w+$/.test(model.fields.text) ? text : JSON.stringify(content))
        .digest('hex')
        .slice(0, madeIdLength);
    const id = givenId ?? (typeof ownId === 'string' ? ownId : made());
    if (!exampleIdPattern.test(id)) return bad('/id', 'use 1 to 128 printable characters without white space and slash');
    return { ok: true, id, content: JSON.stringify(content) };
  };
}

const bad = (pointer: string, message: string): Checked => ({ ok: false, errors: [{ pointer, message }] });

export function fieldErrors(issue: z.core.$ZodIssue): { pointer: string; message: string }[] {
  const at = issue.path.map((part) => `/${String(part)}`).join('');
  if (issue.code === 'unrecognized_keys') {
    // Schemas that say more about unknown names have a message of their own.
    const message = issue.message.startsWith('Unrecognized key') ? 'is not a known field' : issue.message;
    return issue.keys.map((key) => ({ pointer: `${at}/${key}`, message }));
  }
  return [{ pointer: at, message: issue.message }];
}

export type CustomizationRow = RowDataPacket & {
  customization_id: string;
  name: string;
  business_model: string;
  options: Record<string, unknown>;
  policy: Record<string, unknown>;
  schema_policy: string;
  state: 'active' | 'paused';
  /** Null: the examples are kept in our own table. */
  source: SourceMapping | null;
  created_at: Date;
  updated_at: Date;
};

/** The tenant's customization; another tenant's is answered as one that does not exist. */
export async function findCustomization(pool: Pool | PoolConnection, tenantId: string, id: string, lock = ''): Promise<CustomizationRow> {
  const [rows] = await pool.query<CustomizationRow[]>(
    `SELECT customization_id, name, business_model, options, policy, schema_policy, state, source, created_at, updated_at
     FROM modelwright.customizations WHERE tenant_id = ? AND customization_id = ? ${lock}`,
    [tenantId, id],
  );
  if (!rows[0]) throw new Problem('not_found', `there is no customization ${id}`);
  return rows[0];
}

/** The same for a write of examples, which only a customization with examples of its own takes. */
export async function findManaged(pool: Pool | PoolConnection, tenantId: string, id: string, lock = ''): Promise<CustomizationRow> {
  const row = await findCustomization(pool, tenantId, id, lock);
  if (row.source)
    throw new Problem('mapped_source', `the examples of ${id} are the rows of ${sourceName(row.source)}: change them there, not here`);
  return row;
}

export async function hasExamples(connection: PoolConnection, tenantId: string, customizationId: string): Promise<boolean> {
  const [rows] = await connection.query<RowDataPacket[]>(
    'SELECT 1 FROM modelwright.examples WHERE tenant_id = ? AND customization_id = ? LIMIT 1',
    [tenantId, customizationId],
  );
  return rows.length > 0;
}

export function modelOf(catalog: Catalog, id: string): BusinessModel {
  const model = catalog.get(id);
  if (!model)
    throw new Problem('unknown_business_model', `the catalogue has no business model "${id}"; it has: ${[...catalog.keys()].join(', ')}`, [
      { pointer: '/businessModel', message: `must be one of ${[...catalog.keys()].join(', ')}` },
    ]);
  return model;
}

export type StoreCounts = { readonly stored: number; readonly updated: number };

/** Inserts or replaces examples in one statement. An example that is stored as it is already leaves no trace in the binary log. */
export async function storeExamples(
  connection: PoolConnection,
  tenantId: string,
  customizationId: string,
  examples: ReadonlyMap<string, string>,
): Promise<StoreCounts> {
  if (examples.size === 0) return { stored: 0, updated: 0 };
  const ids = [...examples.keys()];
  const [existing] = await connection.query<(RowDataPacket & { found: string })[]>(
    'SELECT COUNT(*) AS found FROM modelwright.examples WHERE tenant_id = ? AND customization_id = ? AND (bucket, example_id) IN (?)',
    [tenantId, customizationId, ids.map((id) => [bucketOf(id), id])],
  );
  await connection.query(
    `INSERT INTO modelwright.examples (tenant_id, customization_id, example_id, content) VALUES ? AS new
     ON DUPLICATE KEY UPDATE
       updated_at = IF(examples.content = new.content, examples.updated_at, UTC_TIMESTAMP(6)), content = new.content`,
    [[...examples].map(([id, content]) => [tenantId, customizationId, id, content])],
  );
  const updated = Number(existing[0]?.found ?? 0);
  return { stored: examples.size - updated, updated };
}
