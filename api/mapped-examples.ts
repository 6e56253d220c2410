import { createHash } from 'node:crypto';
import type { BusinessModel } from '../catalog/catalog.ts';
import { factsOf } from '../catalog/example-facts.ts';
import { type SourceMapping, sourceName } from '../core/source-mapping.ts';
import { sha256Hex } from '../platform/hash.ts';
import { type MappedRow, type MappedTable, SourceUnreadable, openMappedTable } from '../sources/mapped-table.ts';
import type { ApiContext } from './context.ts';
import { type CustomizationRow, modelOf } from './example-content.ts';
import { page, partsOf } from './paging.ts';
import { Problem } from './problems.ts';
import { readinessOf } from './readiness.ts';

/** What the owner of a mapped table did to it, as a problem; null for any other error. */
export function sourceProblem(error: unknown): Problem | null {
  if (error instanceof SourceUnreadable) return new Problem('source_unreadable', error.message);
  const { code } = error as { code?: string };
  return /^ER_(TABLE|COLUMN)ACCESS_DENIED_ERROR$/.test(code ?? '')
    ? new Problem('source_unreadable', 'our MySQL user may not read the table any more: the operator must GRANT SELECT on it again')
    : null;
}

export const openMapped = ({ pool, catalog, config }: ApiContext, row: CustomizationRow, source: SourceMapping): Promise<MappedTable> =>
  openMappedTable(pool, source, modelOf(catalog, row.business_model), config.settings.MW_MAX_TEXT_CHARS);

/** As an example is shown that is kept here; `excluded` says why a row is none. */
const shown = ({ id, content, problem }: MappedRow) => ({
  id,
  ...content,
  createdAt: null,
  updatedAt: null,
  ...(problem === null ? {} : { excluded: problem }),
});

export async function mappedPage(
  context: ApiContext,
  row: CustomizationRow,
  source: SourceMapping,
  limit: number,
  cursor: string | undefined,
) {
  const after = partsOf(cursor, 1)?.[0];
  const table = await openMapped(context, row, source);
  const rows = await table.page(context.pool, after === undefined ? null : String(after), limit + 1);
  return page(rows, limit, shown, ({ id }) => [id]);
}

export async function mappedExample(context: ApiContext, row: CustomizationRow, source: SourceMapping, id: string) {
  const found = await (await openMapped(context, row, source)).one(context.pool, id);
  if (!found) throw new Problem('not_found', `there is no example ${id} in ${row.customization_id}`);
  return { etag: `"${sha256Hex(JSON.stringify(found.content)).slice(0, 32)}"`, body: shown(found) };
}

/** Texts that are compared with each other; what comes after them is not. */
const maxTexts = 200_000;

/** Reads the table once. Rows that are no examples are counted, not learned. */
export async function mappedReadiness(context: ApiContext, row: CustomizationRow, source: SourceMapping, model: BusinessModel) {
  const table = await openMapped(context, row, source);
  const labels = new Map<string, number>();
  const texts = new Map<string, { answer: string; copies: number; conflicting: boolean }>();
  let excluded = 0;
  let examples = 0;
  const connection = await context.pool.getConnection();
  try {
    for await (const { content, problem } of table.all(connection)) {
      if (problem !== null) {
        excluded += 1;
        continue;
      }
      examples += 1;
      const { text, labels: found, answer } = factsOf(model, content);
      for (const label of found) labels.set(label, (labels.get(label) ?? 0) + 1);
      if (text === null) continue;
      const key = createHash('sha256').update(text.trim().toLowerCase()).digest('base64').slice(0, 16);
      const known = texts.get(key);
      if (known) {
        known.copies += 1;
        known.conflicting ||= known.answer !== answer;
      } else if (texts.size < maxTexts) texts.set(key, { answer, copies: 1, conflicting: false });
    }
    connection.release();
  } catch (error) {
    connection.destroy();
    throw error;
  }
  const sorted = [...labels].sort(([a], [b]) => (a < b ? -1 : 1)).map(([label, of]) => ({ label, examples: of }));
  const groups = [...texts.values()];
  const ready = readinessOf(sorted, examples, model.minimumData);
  return {
    ...ready,
    reasons: [...ready.reasons, ...(ready.ready || excluded === 0 ? [] : [`${excluded} rows of ${sourceName(source)} cannot be used`])],
    duplicates: groups.reduce((sum, { copies }) => sum + copies - 1, 0),
    conflicts: groups.filter(({ conflicting }) => conflicting).length,
    excluded,
    bucketIndex: table.bucketIndex,
  };
}
