import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { type ApiClient, createApiClient } from '../../cli/api-client.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { createS3Client } from '../../platform/s3.ts';
import type { TestStack } from './engines.ts';
import { eventually } from './live-tenant.ts';
import { letRead } from './root-pool.ts';

const decompress = promisify(zstdDecompress);

export type Example = { readonly id: string; readonly text: string; readonly label: string };

/** Rows of the newest dataset as they lie in the store, by other code than the product's own; a row that is there twice is a fault. */
export async function datasetRows(stack: TestStack, pool: Pool, tenantId: string, c: string): Promise<Map<string, Example>> {
  const [manifests] = await pool.query<(RowDataPacket & { manifest_key: string })[]>(
    'SELECT manifest_key FROM modelwright_control.datasets WHERE tenant_id = ? AND customization_id = ? ORDER BY number DESC LIMIT 1',
    [tenantId, c],
  );
  const rows = new Map<string, Example>();
  const key = manifests[0]?.manifest_key;
  if (key === undefined) return rows;
  const s3 = createS3Client(stack.config);
  try {
    const read = async (object: string): Promise<Buffer> => {
      const { Body: body } = await s3.send(new GetObjectCommand({ Bucket: stack.config.s3.bucket, Key: object }));
      return Buffer.from((await body?.transformToByteArray()) ?? []);
    };
    const { buckets } = JSON.parse((await read(key)).toString('utf8')) as { buckets: { ref: { key: string } }[] };
    for (const { ref } of buckets) {
      const lines = (await decompress(await read(ref.key))).toString('utf8').split('\n');
      for (const line of lines.filter((one) => one !== '')) {
        const { id, text, label } = JSON.parse(line) as Example;
        if (rows.has(id)) throw new Error(`row ${id} is in the dataset twice`);
        rows.set(id, { id, text, label });
      }
    }
    return rows;
  } finally {
    s3.destroy();
  }
}

/** Waits until the newest dataset holds exactly what the query finds (columns id, text, label). */
export async function datasetToEqual(
  stack: TestStack,
  root: Pool,
  { tenantId, c }: { readonly tenantId: string; readonly c: string },
  sql: string,
  timeoutMs = 300_000,
): Promise<void> {
  await eventually(
    `the newest dataset of ${tenantId}/${c} to be what the table has`,
    async () => {
      const dataset = await datasetRows(stack, root, tenantId, c);
      const [rows] = await root.query<(RowDataPacket & Example)[]>(sql);
      const table = new Map(rows.map(({ id, text, label }) => [id, { id, text, label }] as const));
      const differing = [...new Set([...table.keys(), ...dataset.keys()])].filter(
        (id) => JSON.stringify(table.get(id)) !== JSON.stringify(dataset.get(id)),
      );
      if (differing.length === 0 && table.size > 0) return true;
      const [runs] = await root.query<(RowDataPacket & { number: number; state: string })[]>(
        'SELECT number, state FROM modelwright_control.runs WHERE tenant_id = ? AND customization_id = ? ORDER BY number',
        [tenantId, c],
      );
      const told = runs.map(({ number, state }) => `${number} ${state}`).join(', ');
      throw new Error(`${differing.length} of ${table.size} rows differ, such as ${differing.slice(0, 5).join(' ')}; runs: ${told}`);
    },
    timeoutMs,
  );
}

export class Operator {
  readonly api: ApiClient;
  readonly #root: Pool;

  constructor(stack: TestStack, root: Pool) {
    this.api = createApiClient(`http://127.0.0.1:${stack.config.settings.MW_API_PORT}`, stack.config.operatorKey);
    this.#root = root;
  }

  async tenant(id: string): Promise<ApiClient> {
    const { key } = await this.api.call<{ key: string }>('POST', '/v1/tenants', { id, name: id });
    return createApiClient(this.api.url, key);
  }

  /** Does what the operator's guide says: GRANT in MySQL, then the grant in Modelwright. */
  async grant(tenantId: string, name: string, filter?: { readonly column: string; readonly equals: string }): Promise<void> {
    const [database = '', table = ''] = name.split('.');
    await letRead(this.#root, name);
    await this.api.call('POST', `/v1/tenants/${tenantId}/sources`, { database, table, ...(filter ? { filter } : {}) });
  }
}
