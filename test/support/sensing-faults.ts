import mysql, { type Connection } from 'mysql2/promise';
import { Kafka, logLevel } from 'kafkajs';
import { createConnectClient } from '../../platform/kafka-connect.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { loadSecrets } from './secrets.ts';
import type { TestStack } from './engines.ts';
import { eventually } from './live-tenant.ts';

export type ConditionSeen = {
  readonly code: string;
  readonly subject: string;
  readonly detail: string;
  readonly state: string;
  readonly action: string;
  readonly detectedMs: number;
};

/** Hands for breaking what is between the binary log and the change consumer, and eyes on what the watch says of it. */
export class SensingFaults {
  readonly #stack: TestStack;
  readonly #pool: Pool;
  readonly connect;
  readonly prefix: string;

  constructor(stack: TestStack, pool: Pool) {
    this.#stack = stack;
    this.#pool = pool;
    this.connect = createConnectClient(stack.config.connectUrl);
    this.prefix = stack.config.kafka.topicPrefix;
  }

  /** Runs statements as the server's administrator. */
  async asRoot<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const { mysqlRootPassword: password } = loadSecrets(this.#stack);
    const { host, port } = this.#stack.config.mysql;
    const connection = await mysql.createConnection({ host, port, user: 'root', password });
    try {
      return await work(connection);
    } finally {
      await connection.end();
    }
  }

  async withAdmin<T>(work: (admin: ReturnType<Kafka['admin']>) => Promise<T>): Promise<T> {
    const kafka = new Kafka({ clientId: 'test', brokers: [...this.#stack.config.kafka.brokers], logLevel: logLevel.NOTHING });
    const admin = kafka.admin();
    await admin.connect();
    try {
      return await work(admin);
    } finally {
      await admin.disconnect();
    }
  }

  async conditions(): Promise<ConditionSeen[]> {
    const [rows] = await this.#pool.query<RowDataPacket[]>(
      "SELECT code, subject, detail, state, COALESCE(action, '') AS action, detected_at FROM modelwright_control.sensing_conditions ORDER BY condition_id",
    );
    return rows.map((row) => ({
      code: String(row['code']),
      subject: String(row['subject']),
      detail: String(row['detail']),
      state: String(row['state']),
      action: String(row['action']),
      detectedMs: (row['detected_at'] as Date).getTime(),
    }));
  }

  /** Waits until a condition that was detected after `sinceMs` is healed. */
  healed(code: string, sinceMs: number, timeoutMs = 120_000): Promise<ConditionSeen> {
    return eventually(
      `${code} to be detected and healed`,
      async () => {
        const found = (await this.conditions()).filter((one) => one.detectedMs >= sinceMs);
        const done = found.find((one) => one.code === code && one.state === 'healed');
        if (done) return done;
        throw new Error(found.map((one) => `${one.code} ${one.state} ${one.action}`).join('; ') || 'nothing was detected');
      },
      timeoutMs,
    );
  }

  /** Waits until nothing is wrong and every connector runs. */
  async calm(timeoutMs = 120_000): Promise<void> {
    await eventually(
      'sensing to be calm',
      async () => {
        const open = (await this.conditions()).filter(({ state }) => state !== 'healed');
        if (open.length > 0) throw new Error(open.map((one) => `${one.code} ${one.subject} ${one.state} ${one.action}`).join('; '));
        const connectors = await this.connect.connectors();
        const bad = connectors.filter(({ state, tasks, failures }) => state !== 'RUNNING' || failures.length > 0 || tasks.length === 0);
        return connectors.length > 0 && bad.length === 0 ? true : null;
      },
      timeoutMs,
    );
  }

  /** The connector is stopped from outside, as if it were down. Asked again until it is: what begins anew meanwhile, as after an earlier fault, is not stopped by being asked once. */
  async connectorDown(connector = 'modelwright'): Promise<void> {
    await eventually(
      'the connector to stop',
      async () => {
        const { state = 'not there' } = (await this.connect.connectors()).find(({ name }) => name === connector) ?? {};
        if (state === 'STOPPED') return true;
        await this.connect.stop(connector);
        throw new Error(`it is ${state}`);
      },
      60_000,
    );
  }
}
