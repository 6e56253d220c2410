import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createStoreCareActivities } from '../../activities/store-care/store-care-activities.ts';
import { createApiClient } from '../../cli/api-client.ts';
import { engineNames, serviceNames } from '../../core/process-names.ts';
import { randomBytes } from '../../platform/clock.ts';
import type { S3Place } from '../../platform/config.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { type Pool, createPool } from '../../platform/mysql.ts';
import { projectDir, resolvePaths } from '../../platform/paths.ts';
import { createS3Client } from '../../platform/s3.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import { GatewayRefused } from '../../store/gateway-refused.ts';
import { openStore, placesOf } from '../../store/open-store.ts';
import { probePlace } from '../../store/placement-probe.ts';
import { type TestStack, startTestStack } from '../../test/support/engines.ts';
import { LiveTenant, sentences } from '../../test/support/live-tenant.ts';
import { daemonNamed, isRunning, signalDaemon } from '../cluster/daemon.ts';
import { type Ceph, startCeph } from './ceph.ts';
import { cephPlace } from './place.ts';
import { canRunCeph } from './requirements.ts';
import { runCeph } from './run-ceph.ts';

const why = canRunCeph();
const classes = { copies: 'COPIES', pieces: 'PIECES' } as const;
const pools = { copies: 'models.copies', pieces: 'models.pieces' } as const;
type Name = keyof typeof classes;
const names: readonly Name[] = ['copies', 'pieces'];

describe.skipIf(why !== null)(`tenants in pools of a real Ceph${why === null ? '' : ` (left out: ${why})`}`, () => {
  const paths = resolvePaths(process.env);
  let folder: string;
  let home: string;
  let ceph: Ceph;
  let stack: TestStack;
  let pool: Pool;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mw-pools-'));
    home = join(folder, 'ceph');
    ceph = await startCeph({ home, paths, osds: 3 });
    const page = await readFile(join(projectDir, 'docs/store/placement.md'), 'utf8');
    const commands = [...page.matchAll(/^(ceph|radosgw-admin) (.*)$/gm)];
    if (commands.length < 10) throw new Error('the commands of the page are gone');
    for (const [, program, said = ''] of commands) await (program === 'ceph' ? ceph.command : ceph.gatewayAdmin)(...said.split(' '));
    signalDaemon(cephPlace(home), 'radosgw', 'SIGKILL');
    while (isRunning(daemonNamed(cephPlace(home), 'radosgw'))) await sleep(100);
    await startCeph({ home, paths, osds: 3 });

    const file = join(folder, 'placements.json');
    await writeFile(file, JSON.stringify({ copies: { storageClass: classes.copies }, pieces: { storageClass: classes.pieces } }));
    const { s3 } = ceph;
    stack = await startTestStack({
      engines: engineNames.filter((name) => name !== 's3'),
      services: serviceNames,
      env: {
        MW_S3_ENDPOINT: s3.endpoint,
        MW_S3_REGION: s3.region,
        MW_S3_BUCKET: s3.bucket,
        MW_S3_ACCESS_KEY: s3.accessKey,
        MW_S3_SECRET_KEY: s3.secretKey,
        MW_PLACEMENTS: file,
      },
    });
    pool = createPool(stack.config);
  });
  afterAll(async () => {
    await pool?.end();
    await stack?.remove();
    await ceph?.stop();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  /** Class by key, as the gateway says. */
  async function classesOf(prefix: string): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    const client = createS3Client({ s3: ceph.s3 });
    for (let token: string | undefined, more = true; more; more = token !== undefined) {
      const page = await client.send(new ListObjectsV2Command({ Bucket: ceph.s3.bucket, Prefix: prefix, ContinuationToken: token }));
      for (const { Key = '', StorageClass = '' } of page.Contents ?? []) found.set(Key, StorageClass);
      token = page.NextContinuationToken;
    }
    client.destroy();
    return found;
  }
  /** Names of what a pool holds. */
  const inPool = async (name: string): Promise<readonly string[]> =>
    (await runCeph(cephPlace(home), paths, 'rados', ['-p', name, 'ls'])).split('\n');
  /** What the gateway calls the parts of an object's bytes. */
  async function partsOf(key: string): Promise<string> {
    const said = await ceph.gatewayAdmin('object', 'stat', '--bucket', ceph.s3.bucket, '--object', key);
    const { prefix } = (JSON.parse(said) as { manifest: { prefix: string } }).manifest;
    return prefix;
  }

  it('a class that the gateway does not have is refused, by the name of the placement', async () => {
    for (const place of placesOf(stack.config)) expect(await probePlace(place)).toMatchObject({ range: true });
    const s3: S3Place = { ...ceph.s3, storageClass: 'NO_SUCH' };
    const error: unknown = await probePlace({ settings: 'MW_S3', placement: 'wrong', s3 }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(GatewayRefused);
    expect(String(error)).toMatch(/does not take storage class NO_SUCH of placement wrong in bucket modelwright/);
  });

  it('an object that is stored in parts is of its class too', async () => {
    const s3: S3Place = { ...ceph.s3, storageClass: classes.pieces };
    const parted = createS3ObjectStore(createS3Client({ s3 }), s3.bucket, { putBytes: 1, partBytes: 5 * 1024 ** 2 });
    const bytes = randomBytes(12 * 1024 ** 2);
    const source = { bytes: bytes.byteLength, sha256: sha256Hex(bytes), open: async () => await Promise.resolve(Readable.from([bytes])) };
    const { ref } = await parted.putContentStream('care/parted', source);
    expect([...(await classesOf(ref.key)).values()]).toEqual([classes.pieces]);
    const parts = await partsOf(ref.key);
    expect(await inPool(pools.pieces)).toContainEqual(expect.stringContaining(parts));
    expect(await inPool('default.rgw.buckets.data')).not.toContainEqual(expect.stringContaining(parts));
    await parted.read(ref);
    await parted.delete([ref.key]);
  });

  it('each tenant’s bytes are in its own pool, and an OSD that is killed in the middle of a training loses nothing', async () => {
    const operator = createApiClient(`http://127.0.0.1:${stack.config.settings.MW_API_PORT}`, stack.config.operatorKey);
    const tenants = new Map<Name, LiveTenant>();
    for (const name of names) {
      tenants.set(name, await LiveTenant.make(stack, pool, name));
      expect(await operator.call('PATCH', `/v1/tenants/${name}`, { placement: name })).toMatchObject({ placement: name });
    }
    // What is staged goes with its run: it is looked at all the time.
    const seen = new Map<string, string>();
    const stopped = new AbortController();
    const looking = (async () => {
      while (!stopped.signal.aborted) {
        for (const [key, kind] of await classesOf('').catch(() => [])) seen.set(key, kind);
        await sleep(300);
      }
    })();
    const copies = tenants.get('copies');
    const pieces = tenants.get('pieces');
    if (!copies || !pieces) throw new Error('two tenants');
    const commit = await copies.submit(sentences(0, 120));
    await copies.reaches(['training']);
    await ceph.killOsd(1);
    await copies.served(commit, 400_000);
    await pieces.served(await pieces.submit(sentences(0, 120)), 400_000);
    stopped.abort();
    await looking;
    expect(await ceph.command('osd', 'stat')).toMatch(/3 osds: 2 up/);

    const care = createStoreCareActivities({
      pool,
      store: openStore(stack.config, pool),
      modelsDir: stack.config.paths.modelsDir,
      shardBytes: stack.config.settings.MW_SHARD_BYTES,
      retention: { keepVersions: 10, graceMs: 0, lockMs: 0 },
      scrubRounds: 1,
      beat: () => undefined,
    });
    const whole = async (): Promise<void> => {
      for (const name of names) {
        const found = await care.scrubTenant({ tenantId: name, share: null });
        expect(found).toMatchObject({ damaged: 0, missing: 0, open: [] });
        expect(found.objects).toBeGreaterThan(4);
        expect(await tenants.get(name)?.predict('The striker scored two goals in the match')).toMatchObject({ version: 1 });
      }
      expect(await care.scrubBase({ share: null })).toMatchObject({ damaged: 0, missing: 0 });
    };
    await whole();

    for (const name of names) {
      const own = [...seen].filter(([key]) => /^(tenants|kept)\//.test(key) && key.split('/')[1] === name);
      // By address, from the training itself; and by the workers.
      for (const part of ['/runs/1/1/model.safetensors', '/runs/1/1/result.json', '/datasets/', '/shards/', '/models/'])
        expect(own.map(([key]) => key)).toContainEqual(expect.stringContaining(part));
      expect(own.filter(([, kind]) => kind !== classes[name])).toEqual([]);
      const other = name === 'copies' ? 'pieces' : 'copies';
      const [here, there] = [await inPool(pools[name]), await inPool(pools[other])];
      const stored = [...(await classesOf(`tenants/${name}/`)).keys()];
      expect(stored.length).toBeGreaterThan(4);
      for (const key of stored) {
        const parts = await partsOf(key);
        expect(here).toContainEqual(expect.stringContaining(parts));
        expect(there.filter((one) => one.includes(parts))).toEqual([]);
      }
    }
    expect([...(await classesOf('base/')).values()].every((kind) => kind === 'STANDARD')).toBe(true);
    expect(await ceph.command('osd', 'pool', 'get', pools.copies, 'size')).toContain('size: 3');
    expect(await ceph.command('osd', 'pool', 'get', pools.pieces, 'erasure_code_profile')).toContain('pieces');

    await ceph.startOsd(1);
    await whole();
  });
});
