import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { startCeph } from '../infra/ceph/ceph.ts';
import { canRunCeph } from '../infra/ceph/requirements.ts';
import { resolvePaths } from '../platform/paths.ts';
import { startTestStack } from '../test/support/engines.ts';
import { twoSiteStore } from '../test/support/two-site-store.ts';
import type { GatewayAbilities } from './gateway-probe.ts';
import { gatewayProbeContract } from './gateway-probe-contract.ts';
import { type Gateway, objectStoreContract } from './object-store-contract.ts';

const why = canRunCeph();

async function light(): Promise<Gateway> {
  const stack = await startTestStack({ engines: ['s3'] });
  const { s3 } = stack.config;
  return { s3, stranger: { accessKey: s3.accessKey, secretKey: 'not-its-secret' }, close: () => stack.remove() };
}

async function ceph(): Promise<Gateway> {
  const folder = await mkdtemp(join(tmpdir(), 'mw-ceph-'));
  const { s3, gatewayAdmin, stop } = await startCeph({ home: join(folder, 'ceph'), paths: resolvePaths(process.env) });
  const stranger = { accessKey: 'mwstranger', secretKey: 'of-a-stranger-to-the-bucket' };
  const keys = ['--access-key', stranger.accessKey, '--secret', stranger.secretKey];
  await gatewayAdmin('user', 'create', '--uid', 'stranger', '--display-name', 'stranger', ...keys);
  return {
    s3,
    stranger,
    close: async () => {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function two(): Promise<Gateway> {
  const [first, second] = [await light(), await light()];
  return {
    ...first,
    second: { s3: second.s3, store: twoSiteStore([first.s3, second.s3]).store },
    close: async () => {
      await first.close();
      await second.close();
    },
  };
}

/** Both contracts on one running gateway; `lacks` is what it is known to lack. */
function contracts(open: () => Promise<Gateway>, lacks: Partial<GatewayAbilities>): void {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await open();
  });
  afterAll(async () => await gateway?.close());
  objectStoreContract(() => gateway);
  gatewayProbeContract(() => gateway, lacks);
}

describe('the light S3 server', () => {
  contracts(light, {});
});

describe('the store on two light S3 servers', () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await two();
  });
  afterAll(async () => await gateway?.close());
  objectStoreContract(() => gateway);
});

describe.skipIf(why !== null)(`the gateway of Ceph${why === null ? '' : ` (left out: ${why})`}`, () => {
  contracts(ceph, { conditionalComplete: false });
});
