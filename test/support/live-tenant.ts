import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiClient, createApiClient } from '../../cli/api-client.ts';
import type { ImportReport, Page, Predictions, Receipt, Run } from '../../cli/api-types.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import type { TestStack } from './engines.ts';

const pollMs = 200;

/** Asks until the answer is one that the test waits for; what cannot be answered yet is asked again. */
export async function eventually<T>(what: string, ask: () => Promise<T | null>, timeoutMs: number): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let last = '';
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== null) return answer;
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs / 1_000} s for ${what}${last === '' ? '' : ` (${last})`}`);
    await sleep(pollMs);
  }
}

/** Sentences of three topics that a small model tells apart; `from` makes them different from each other. */
export function sentences(from: number, to: number): { id: string; text: string; label: string }[] {
  const topics = [
    ['food', 'soup, bread, cheese and a recipe with tomatoes'],
    ['sport', 'goals, a referee, the league and the final match'],
    ['money', 'shares, a bank, interest rates and the budget'],
  ] as const;
  return Array.from({ length: to - from }, (_, i) => {
    const [label, words] = topics[(from + i) % topics.length] ?? topics[0];
    return { id: `s${from + i}`, text: `Story number ${from + i} is about ${words}.`, label };
  });
}

/** A tenant of a live stack with one customization, seen as its owner sees it. */
export class LiveTenant {
  readonly api: ApiClient;
  readonly key: string;
  readonly tenantId: string;
  readonly c = 'stories';
  readonly #pool: Pool;

  private constructor(api: ApiClient, key: string, tenantId: string, pool: Pool) {
    this.api = api;
    this.key = key;
    this.tenantId = tenantId;
    this.#pool = pool;
  }

  static async make(
    stack: TestStack,
    pool: Pool,
    tenantId: string,
    policy: Record<string, unknown> = { quietPeriodMs: 1_000 },
    model: { readonly businessModel: string; readonly options?: Record<string, unknown> } = { businessModel: 'text-classification' },
  ): Promise<LiveTenant> {
    const url = `http://127.0.0.1:${stack.config.settings.MW_API_PORT}`;
    const { key } = await createApiClient(url, stack.config.operatorKey).call<{ key: string }>('POST', '/v1/tenants', {
      id: tenantId,
      name: tenantId,
    });
    const tenant = new LiveTenant(createApiClient(url, key), key, tenantId, pool);
    await tenant.api.call('POST', '/v1/customizations', { id: tenant.c, name: 'Stories', ...model, policy });
    return tenant;
  }

  /** Imports rows and returns the last commit. */
  async submit(rows: readonly object[]): Promise<string> {
    const body = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
      await Promise.resolve();
    };
    const report = await this.api.upload<ImportReport>(`/v1/customizations/${this.c}/examples:import`, 'application/x-ndjson', body());
    const commit = report.commits.at(-1);
    if (report.rejected > 0 || !commit) throw new Error(`import failed: ${JSON.stringify(report)}`);
    return commit;
  }

  receipt(commit: string): Promise<Receipt> {
    return this.api.call<Receipt>('GET', `/v1/receipts/${commit}`);
  }

  /** Waits until a version serves the commit, or there is a reason against it. */
  decided(commit: string, timeoutMs = 180_000): Promise<Receipt> {
    return eventually(
      'a version that has learned the commit',
      async () => {
        const now = await this.receipt(commit);
        return now.stations.at(-1)?.at || now.reason ? now : null;
      },
      timeoutMs,
    );
  }

  /** Waits until a version serves the commit; a reason against it is a failure. */
  async served(commit: string, timeoutMs = 180_000): Promise<Receipt> {
    const receipt = await this.decided(commit, timeoutMs);
    if (receipt.reason) throw new Error(`no version serves it: ${receipt.reason}`);
    return receipt;
  }

  async runs(): Promise<readonly Run[]> {
    return (await this.api.call<Page<Run>>('GET', `/v1/customizations/${this.c}/runs`)).items;
  }

  /** Waits until the run has reached one of the states. */
  reaches(states: readonly Run['state'][], number = 1, timeoutMs = 120_000): Promise<Run> {
    return eventually(
      `run ${number} to be ${states.join(' or ')}`,
      async () => (await this.runs()).find((run) => run.number === number && states.includes(run.state)) ?? null,
      timeoutMs,
    );
  }

  predict(text: string): Promise<Predictions> {
    return this.api.call<Predictions>('POST', `/v1/customizations/${this.c}:predict`, { inputs: [{ text }] });
  }

  async count(table: 'effective_trainings' | 'model_versions' | 'runs' | 'datasets'): Promise<number> {
    const [rows] = await this.#pool.query<(RowDataPacket & { n: string })[]>(
      `SELECT COUNT(*) AS n FROM modelwright_control.${table} WHERE tenant_id = ? AND customization_id = ?`,
      [this.tenantId, this.c],
    );
    return Number(rows[0]?.n);
  }

  async latestDatasetRows(): Promise<number> {
    const [rows] = await this.#pool.query<(RowDataPacket & { row_count: string })[]>(
      'SELECT row_count FROM modelwright_control.datasets WHERE tenant_id = ? AND customization_id = ? ORDER BY number DESC LIMIT 1',
      [this.tenantId, this.c],
    );
    return Number(rows[0]?.row_count ?? 0);
  }
}
