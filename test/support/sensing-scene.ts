import { setTimeout as sleep } from 'node:timers/promises';
import type { Kafka } from 'kafkajs';
import { engineNames, serviceNames } from '../../core/process-names.ts';
import { createLogger } from '../../platform/logger.ts';
import { type Pool, type PoolConnection, createPool } from '../../platform/mysql.ts';
import { createTemporalClient } from '../../platform/temporal.ts';
import { createKafka } from '../../workers/cdc/kafkajs-feed.ts';
import { type TestStack, startTestStack } from './engines.ts';
import { ForwardWatch, datasetsThatWentBack } from './forward-watch.ts';
import { LiveTenant, sentences } from './live-tenant.ts';
import { headersOfParked } from './raw-events.ts';
import { SensingFaults } from './sensing-faults.ts';
import { datasetToEqualTable } from './table-equals-dataset.ts';

export const quickPolicy = { quietPeriodMs: 500, maxWaitMs: 4_000 };
const equalWithinMs = 180_000;

/** Every text says whose it is: a row that comes to somebody else by mistake is a difference. */
export const stories = (owner: string, from: number, to: number) =>
  sentences(from, to).map((row) => ({ ...row, text: `${owner} writes: ${row.text}` }));

/** The whole stack with a bystander whose rows are learned while faults happen to others, and what must hold whatever happens. */
export class SensingScene {
  readonly stack: TestStack;
  readonly pool: Pool;
  readonly kafka: Kafka;
  readonly temporal: ReturnType<typeof createTemporalClient>;
  readonly faults: SensingFaults;
  readonly watch: ForwardWatch;
  bystander!: LiveTenant;
  readonly #tenantIds: string[] = [];
  readonly #writers: (() => Promise<void>)[] = [];
  #written = 1_000;

  private constructor(stack: TestStack) {
    this.stack = stack;
    this.pool = createPool(stack.config);
    this.kafka = createKafka(stack.config.kafka.brokers, 'test', createLogger('test', 'error'));
    this.temporal = createTemporalClient(stack.config);
    this.faults = new SensingFaults(stack, this.pool);
    this.watch = new ForwardWatch(this.faults, this.temporal.client);
  }

  static async start(): Promise<SensingScene> {
    const scene = new SensingScene(await startTestStack({ engines: engineNames, services: serviceNames }));
    try {
      scene.bystander = await scene.make('bystander');
      await scene.insert(scene.bystander, stories('bystander', 0, 60));
      await scene.equal(scene.bystander);
      scene.watch.start(() => scene.#tenantIds);
      return scene;
    } catch (error) {
      await scene.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.watch.stop();
    await this.temporal.close();
    await this.pool.end();
    await this.stack.remove();
  }

  async make(id: string): Promise<LiveTenant> {
    const tenant = await LiveTenant.make(this.stack, this.pool, id, quickPolicy);
    this.#tenantIds.push(id);
    return tenant;
  }

  /** Rows as another program writes them. */
  async insert(
    { tenantId, c }: LiveTenant,
    rows: readonly { readonly id: string }[],
    on: Pool | PoolConnection = this.pool,
  ): Promise<void> {
    const values = rows.map(({ id, ...content }) => [tenantId, c, id, JSON.stringify(content)]);
    await on.query('INSERT INTO modelwright.examples (tenant_id, customization_id, example_id, content) VALUES ?', [values]);
  }

  async inTransaction(work: (connection: PoolConnection) => Promise<unknown>): Promise<void> {
    const connection = await this.pool.getConnection();
    try {
      await connection.beginTransaction();
      await work(connection);
      await connection.commit();
    } finally {
      connection.release();
    }
  }

  async equal(...of: readonly LiveTenant[]): Promise<void> {
    await Promise.all(of.map((tenant) => datasetToEqualTable(this.stack, this.pool, tenant, equalWithinMs)));
  }

  consumer() {
    return this.stack.status().processes.find(({ name }) => name === 'change-consumer');
  }

  /** Writes until it is told to stop: inserts, edits and deletions, one commit each. */
  writer(tenant: LiveTenant, everyMs: number): { readonly stop: () => Promise<void> } {
    const stopping = new AbortController();
    const { tenantId, c } = tenant;
    const writing = (async () => {
      for (let i = 0; !stopping.signal.aborted; i++) {
        const number = (this.#written += 1);
        const rows = stories(tenantId, number, number + 1);
        await tenant.submit(rows);
        if (i % 3 === 0) await tenant.submit([{ ...rows[0], text: `${tenantId} edits number ${number} about money.` }]);
        if (i % 4 === 0) await tenant.api.call('DELETE', `/v1/customizations/${c}/examples/s${number}`);
        await sleep(everyMs);
      }
    })();
    // A write that failed is told by `stop`, not before.
    writing.catch(() => undefined);
    const stop = async (): Promise<void> => {
      stopping.abort();
      await writing;
    };
    this.#writers.push(stop);
    return { stop };
  }

  /** What must hold after any fault. `parked`: reasons of what may lie in the dead-letter topic. */
  async check(parked: readonly string[]): Promise<void> {
    // A test that failed in the middle leaves no writer to the next one.
    await Promise.all(this.#writers.splice(0).map((stop) => stop()));
    await this.equal(this.bystander);
    const reasons = (await headersOfParked(this.kafka, this.faults.prefix)).map((headers) => headers['mw-reason']);
    const wrong = [...this.watch.backwards, ...(await datasetsThatWentBack(this.pool))].map((what) => `went back: ${what}`);
    if (JSON.stringify(reasons) !== JSON.stringify(parked)) wrong.push(`parked: ${reasons.join('; ')}`);
    if (wrong.length > 0) throw new Error(wrong.join('\n'));
  }
}
