import { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CustomizationKey } from '../../core/ids.ts';
import type { AliasesAfter } from '../../core/tenant-messages.ts';
import { type Pool, type RowDataPacket, createPool } from '../../platform/mysql.ts';
import { type TestStack, startTestStack } from '../../test/support/engines.ts';
import { makeCustomization, makeRun } from '../../test/support/publish-scene.ts';
import { inWatchedTransaction } from './database.ts';
import { promoteModel, rollbackModel } from './promotions.ts';
import { raiseAttempt } from './runs.ts';

let stack: TestStack;
let pool: Pool;
let tenants = 0;

beforeAll(async () => {
  stack = await startTestStack({ engines: ['mysql'] });
  pool = createPool(stack.config, { connectionLimit: 12 });
});
afterAll(async () => {
  await pool.end();
  await stack.remove();
});

/** A customization with versions 1 to `versions`, each of the run of its number. */
async function withVersions(versions: number): Promise<CustomizationKey> {
  const key = { tenantId: `t${++tenants}`, customizationId: 'c' };
  await makeCustomization(pool, key);
  for (let version = 1; version <= versions; version++) {
    await makeRun(pool, { ...key, run: version });
    await pool.query('INSERT INTO modelwright_control.model_versions SET ?', {
      tenant_id: key.tenantId,
      customization_id: key.customizationId,
      version,
      run_number: version,
      attempt: 1,
      dataset_number: version,
      parent: null,
      manifest_key: `v${version}`,
      manifest_sha256: 'a'.repeat(64),
      manifest_bytes: 1,
      bytes: 1,
      stored_bytes: 1,
      metrics: '{}',
      verdict: JSON.stringify({ verdict: 'promote', explanation: 'better' }),
    });
  }
  return key;
}
const byHand = (key: CustomizationKey, version: number, requestKey: string): Promise<AliasesAfter> =>
  promoteModel(pool, { ...key, requestKey, version, actor: 'ann', reason: null, force: false, fence: null });
const byRun = (key: CustomizationKey, run: number): Promise<AliasesAfter> =>
  promoteModel(pool, {
    ...key,
    requestKey: `run/${run}`,
    version: run,
    actor: 'gate',
    reason: null,
    force: false,
    fence: { run, attempt: 1 },
  });
const back = (key: CustomizationKey, requestKey: string): Promise<AliasesAfter> =>
  rollbackModel(pool, { ...key, requestKey, actor: 'ann', reason: null });
async function aliases({ tenantId, customizationId }: CustomizationKey): Promise<AliasesAfter> {
  const [rows] = await pool.query<(RowDataPacket & { alias: string; version: number })[]>(
    'SELECT alias, version FROM modelwright_control.aliases WHERE tenant_id = ? AND customization_id = ?',
    [tenantId, customizationId],
  );
  const of = (name: string): number | null => rows.find(({ alias }) => alias === name)?.version ?? null;
  return { production: of('production'), previous: of('previous') };
}
/** Versions in the order in which they were promoted, and what the audit log says of each change. */
async function history({ tenantId }: CustomizationKey): Promise<{ promotions: number; audited: string[] }> {
  const [[promotions], [audited]] = await Promise.all([
    pool.query<RowDataPacket[]>('SELECT 1 FROM modelwright_control.promotions WHERE tenant_id = ?', [tenantId]),
    pool.query<(RowDataPacket & { change: string })[]>(
      `SELECT CONCAT(detail->>'$.previous', '>', detail->>'$.version') AS \`change\` FROM modelwright_control.audit WHERE tenant_id = ? ORDER BY audit_id`,
      [tenantId],
    ),
  ]);
  return { promotions: promotions.length, audited: audited.map(({ change }) => change) };
}
const failureOf = async (work: Promise<unknown>): Promise<string | null | undefined> =>
  await work.then(
    () => null,
    (error: unknown) => (error instanceof ApplicationFailure ? error.type : String(error)),
  );

describe('promotions at once', () => {
  it('wait for each other: each swaps what the one before it has left', async () => {
    for (let round = 0; round < 10; round++) {
      const key = await withVersions(5);
      await byHand(key, 1, 'first');
      await Promise.all([2, 3, 4, 5].map((version) => byHand(key, version, `promote ${version}`)));
      const { promotions, audited } = await history(key);
      expect(promotions).toBe(5);
      // A chain: what one leaves in production is what the next one finds there.
      audited.slice(1).forEach((change, i) => expect(change.split('>')[0]).toBe(audited[i]?.split('>')[1]));
      const [previous, production] = (audited.at(-1) ?? '').split('>').map(Number);
      expect(await aliases(key)).toEqual({ production, previous });
    }
  });

  it('and rollbacks of one customization are one after the other, in either order', async () => {
    for (let round = 0; round < 15; round++) {
      const key = await withVersions(3);
      await byHand(key, 1, 'first');
      await byHand(key, 2, 'second');
      await Promise.all([byRun(key, 3), back(key, 'back')]);
      // Rolled back to v1, then v3 was promoted; or v3 was promoted and rolled back to v2.
      expect([
        { production: 3, previous: 1 },
        { production: 2, previous: 3 },
      ]).toContainEqual(await aliases(key));
    }
  });

  it('of one request are one', async () => {
    const key = await withVersions(2);
    await byHand(key, 1, 'first');
    await Promise.all(Array.from({ length: 6 }, () => byHand(key, 2, 'second')));
    expect(await history(key)).toEqual({ promotions: 2, audited: ['null>1', '1>2'] });
    await Promise.all(Array.from({ length: 6 }, () => back(key, 'back')));
    expect(await aliases(key)).toEqual({ production: 1, previous: 2 });
  });
});

describe('a request whose answer was lost', () => {
  it('undoes nothing of what came after it, and is told what serves now', async () => {
    const key = await withVersions(3);
    await byHand(key, 1, 'first');
    await byHand(key, 2, 'second');
    await byHand(key, 3, 'third');
    expect(await byHand(key, 2, 'second')).toEqual({ production: 3, previous: 2 });
    // Nor one that had nothing to do.
    await byHand(key, 3, 'third again');
    await back(key, 'back');
    expect(await byHand(key, 3, 'third again')).toEqual({ production: 2, previous: 3 });
    expect(await aliases(key)).toEqual({ production: 2, previous: 3 });
  });
});

describe('a run that comes late', () => {
  it('does not bring back an older version than serves, and a person may', async () => {
    const key = await withVersions(3);
    await byRun(key, 1);
    await byRun(key, 3);
    expect(await failureOf(byRun(key, 2))).toBe('Fenced');
    expect(await aliases(key)).toEqual({ production: 3, previous: 1 });
    // After a rollback the newest of all is still newer than what serves.
    await back(key, 'back');
    expect(await byRun(key, 2)).toEqual({ production: 2, previous: 1 });
    expect(await byHand(key, 1, 'old')).toEqual({ production: 1, previous: 2 });
  });

  it('is fenced when a later attempt has its token, however close that comes', async () => {
    for (let round = 0; round < 10; round++) {
      const key = await withVersions(1);
      const raised = raiseAttempt(pool, { ...key, run: 1, attempt: 2 });
      const failed = await failureOf(byRun(key, 1));
      await raised;
      expect(await aliases(key)).toEqual({ production: failed === null ? 1 : null, previous: null });
      expect([null, 'Fenced']).toContain(failed);
      expect(
        await failureOf(
          promoteModel(pool, {
            ...key,
            requestKey: 'late',
            version: 1,
            actor: 'gate',
            reason: null,
            force: false,
            fence: { run: 1, attempt: 1 },
          }),
        ),
      ).toBe('Fenced');
    }
  });
});

describe('a version that is withdrawn while it is promoted', () => {
  it('does not serve: whoever withdraws it sees the promotion, or the promotion sees that it was withdrawn', async () => {
    for (let round = 0; round < 15; round++) {
      const key = await withVersions(2);
      await byHand(key, 1, 'first');
      const withdraw = inWatchedTransaction(pool, async (connection) => {
        await connection.query(
          'UPDATE modelwright_control.model_versions SET withdrawn_at = UTC_TIMESTAMP(6) WHERE tenant_id = ? AND version = 2',
          [key.tenantId],
        );
        const [rows] = await connection.query<(RowDataPacket & { version: number })[]>(
          "SELECT version FROM modelwright_control.aliases WHERE tenant_id = ? AND alias = 'production' FOR UPDATE",
          [key.tenantId],
        );
        return rows[0]?.version;
      });
      const [seen, failed] = await Promise.all([withdraw, failureOf(byHand(key, 2, 'second'))]);
      expect(failed === null ? seen : failed).toBe(failed === null ? 2 : 'BadOptions');
    }
  });
});

describe('a process that is stopped in a transaction', () => {
  it('does not hold its locks for ever, and finds that nothing of it has happened', async () => {
    const key = await withVersions(1);
    const stopped = Promise.withResolvers<void>();
    const holding = Promise.withResolvers<void>();
    const transaction = failureOf(
      inWatchedTransaction(
        pool,
        async (connection) => {
          await connection.query("UPDATE modelwright_control.runs SET state = 'failed' WHERE tenant_id = ?", [key.tenantId]);
          holding.resolve();
          await stopped.promise;
          await connection.query('SELECT 1');
        },
        1,
      ),
    );
    await holding.promise;
    // Waits for the row until MySQL has given the transaction up.
    await raiseAttempt(pool, { ...key, run: 1, attempt: 2 });
    stopped.resolve();
    expect(await transaction).toBe('Unavailable');
    const [rows] = await pool.query<RowDataPacket[]>('SELECT state, attempt FROM modelwright_control.runs WHERE tenant_id = ?', [
      key.tenantId,
    ]);
    expect(rows).toEqual([{ state: 'publishing', attempt: 2 }]);
    const [timeouts] = await pool.query<RowDataPacket[]>('SELECT @@wait_timeout = @@global.wait_timeout AS same');
    expect(timeouts).toEqual([{ same: '1' }]);
  });
});
