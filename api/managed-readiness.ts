import type { BusinessModel } from '../catalog/catalog.ts';
import { examplePathPattern } from '../core/example-path.ts';
import type { Pool, RowDataPacket } from '../platform/mysql.ts';
import { readinessOf } from './readiness.ts';

type LabelRow = RowDataPacket & { label: string; examples: string };
type TextRow = RowDataPacket & { copies: string; answers: string };
type CountRow = RowDataPacket & { total: string };

const scope = 'tenant_id = ? AND customization_id = ?';

/** JSON_TABLE over the labels of an example. Paths come from a manifest, whose pattern lets no quote through. */
function labelTable(path: string): string {
  const [, field, , , sub] = examplePathPattern.exec(path) ?? [];
  const items = path.includes('[') ? `$.${field}[*]` : `$.${field}`;
  return `JSON_TABLE(content, '${items}' COLUMNS (label VARCHAR(512) PATH '${sub === undefined ? '$' : `$.${sub}`}')) AS found`;
}

/** Counted by the database: the examples are not fetched. */
export async function managedReadiness(pool: Pool, key: readonly [tenantId: string, customizationId: string], model: BusinessModel) {
  const { fields, minimumData } = model;
  // A text inside a list is no column of its own: repeated ones are found when a dataset is built.
  const plainText = /^\w+$/.test(fields.text);
  const answer = fields.answer.map((field) => `COALESCE(CAST(content->'$.${field}' AS CHAR), '')`).join(", '|', ");
  const [[total], [labels], [texts]] = await Promise.all([
    pool.query<CountRow[]>(`SELECT COUNT(*) AS total FROM modelwright.examples WHERE ${scope}`, [...key]),
    fields.labels === null
      ? Promise.resolve<[LabelRow[]]>([[]])
      : pool.query<LabelRow[]>(
          `SELECT label, COUNT(DISTINCT example_id) AS examples FROM modelwright.examples, ${labelTable(fields.labels)}
           WHERE ${scope} AND label IS NOT NULL GROUP BY label ORDER BY label`,
          [...key],
        ),
    plainText
      ? pool.query<TextRow[]>(
          `SELECT COUNT(*) AS copies, COUNT(DISTINCT CONCAT(${answer})) AS answers FROM modelwright.examples
           WHERE ${scope} GROUP BY LOWER(TRIM(content->>'$.${fields.text}')) HAVING COUNT(*) > 1`,
          [...key],
        )
      : Promise.resolve<[TextRow[]]>([[]]),
  ]);
  return {
    ...readinessOf(
      labels.map(({ label, examples }) => ({ label, examples: Number(examples) })),
      Number(total[0]?.total ?? 0),
      minimumData,
    ),
    duplicates: texts.reduce((sum, { copies }) => sum + Number(copies) - 1, 0),
    conflicts: texts.filter(({ answers }) => Number(answers) > 1).length,
  };
}
