import { afterAll, beforeAll, expect, it } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { engineNames, serviceNames } from '../core/process-names.ts';
import { type Pool, type RowDataPacket, createPool } from '../platform/mysql.ts';
import { createS3Client } from '../platform/s3.ts';
import { ObjectsLocked } from '../store/object-locks.ts';
import { createS3ObjectStore } from '../store/s3-object-store.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { LiveTenant, sentences } from './support/live-tenant.ts';

let stack: TestStack;
let pool: Pool;

beforeAll(async () => {
  stack = await startTestStack({ engines: engineNames, services: serviceNames, env: { MW_OBJECT_LOCK_DAYS: '3' } });
  pool = createPool(stack.config);
});
afterAll(async () => {
  await pool.end();
  await stack.remove();
});

type VersionRow = RowDataPacket & { manifest_key: string; locked_until: Date | null };

it('a version that a run promotes is locked by the workers for as many days as the setting says', async () => {
  const tenant = await LiveTenant.make(stack, pool, 'locked');
  await tenant.served(await tenant.submit(sentences(0, 90)));
  const version = async (): Promise<VersionRow | undefined> =>
    (
      await pool.query<VersionRow[]>("SELECT manifest_key, locked_until FROM modelwright_control.model_versions WHERE tenant_id = 'locked'")
    )[0][0];
  let found = await version();
  for (let tries = 0; tries < 300 && !found?.locked_until; tries++, found = await version()) await sleep(1_000);
  const days = ((found?.locked_until?.getTime() ?? 0) - Date.now()) / 86_400_000;
  expect(days).toBeGreaterThan(2.9);
  expect(days).toBeLessThan(3.1);
  const store = createS3ObjectStore(createS3Client(stack.config), stack.config.s3.bucket);
  await expect(store.delete([found?.manifest_key ?? ''])).rejects.toThrow(ObjectsLocked);
  expect(await tenant.predict('A recipe with cheese')).toMatchObject({ version: 1 });
});
