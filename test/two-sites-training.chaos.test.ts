import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { engineNames, serviceNames } from '../core/process-names.ts';
import { type Pool, type RowDataPacket, createPool } from '../platform/mysql.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { LiveTenant, eventually, sentences } from './support/live-tenant.ts';
import { storedKeys } from './support/stored-runs.ts';
import { twoSiteStore } from './support/two-site-store.ts';

let stack: TestStack;
let other: TestStack;
let pool: Pool;

beforeAll(async () => {
  other = await startTestStack({ engines: ['s3'] });
  const { s3 } = other.config;
  stack = await startTestStack({
    engines: engineNames,
    services: serviceNames,
    env: {
      MW_S3_SECOND_ENDPOINT: s3.endpoint,
      MW_S3_SECOND_BUCKET: s3.bucket,
      MW_S3_SECOND_ACCESS_KEY: s3.accessKey,
      MW_S3_SECOND_SECRET_KEY: s3.secretKey,
    },
  });
  pool = createPool(stack.config);
});
afterAll(async () => {
  await pool?.end();
  await stack?.remove();
  await other?.remove();
});

/** `kill -9`, and nobody starts it again until it is resumed. */
async function killed(site: TestStack): Promise<void> {
  site.kill('s3', 'SIGKILL');
  await site.pause('s3');
}
const openConditions = async (): Promise<number> => {
  const [rows] = await pool.query<RowDataPacket[]>(
    "SELECT 1 FROM modelwright_control.sensing_conditions WHERE state <> 'healed' AND code = 'store_site_behind'",
  );
  return rows.length;
};
/** The worker brings what was missed, within a minute after the site answers. */
const madeGood = (): Promise<boolean> =>
  eventually(
    'both sites to have everything',
    async () => {
      const [owed] = await pool.query<RowDataPacket[]>("SELECT site FROM modelwright_control.store_owed WHERE what = 'copy'");
      if (owed.length > 0 || (await openConditions()) > 0) throw new Error(`${owed.length} objects are owed`);
      return true;
    },
    300_000,
  );
async function equalOnBoth(tenantId: string): Promise<void> {
  const { first, second } = twoSiteStore([stack.config.s3, other.config.s3]);
  // What runs staged may go at any time.
  const kept = (keys: readonly string[]): string[] => keys.filter((key) => !key.includes('/runs/'));
  const prefix = `tenants/${tenantId}/`;
  const keys = kept(await storedKeys(first, prefix));
  expect(kept(await storedKeys(second, prefix))).toEqual(keys);
  expect(keys.length).toBeGreaterThan(5);
}

describe('a training while one of two sites of the store is dead', () => {
  it.each(['first', 'second'] as const)(
    'is made with the %s site dead from its start on, and one that dies in the middle of the next',
    async (name) => {
      const victim = name === 'first' ? stack : other;
      const tenant = await LiveTenant.make(stack, pool, `trained-${name}`);
      await killed(victim);
      await tenant.served(await tenant.submit(sentences(0, 90)));
      expect(await tenant.predict('The striker scored two goals in the match')).toMatchObject({
        version: 1,
        outputs: [{ label: 'sport' }],
      });
      expect(await openConditions()).toBe(1);
      await victim.resume('s3');
      await madeGood();
      await equalOnBoth(tenant.tenantId);

      const next = await tenant.submit(sentences(90, 180));
      await tenant.reaches(['training'], 2);
      await killed(victim);
      await tenant.served(next);
      expect(await tenant.predict('A soup with cheese')).toMatchObject({ version: 2, outputs: [{ label: 'food' }] });
      await victim.resume('s3');
      await madeGood();
      await equalOnBoth(tenant.tenantId);
    },
  );
});
