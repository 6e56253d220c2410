import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { S3Place } from '../platform/config.ts';
import { createLogger } from '../platform/logger.ts';
import { type Pool, createPool } from '../platform/mysql.ts';
import { projectDir } from '../platform/paths.ts';
import { type TestStack, startTestStack } from '../test/support/engines.ts';
import { probedGateway } from './gateway.ts';

let stacks: readonly [TestStack, TestStack];
const s3Of = (at: 0 | 1): S3Place => stacks[at].config.s3;
/** Nobody listens there. */
const silentPort = 'http://127.0.0.1:1';

let pool: Pool;
beforeAll(async () => {
  stacks = await Promise.all([startTestStack({ engines: ['s3'] }), startTestStack({ engines: ['s3'] })]);
  // No database answers there: a worker tries the store all the same.
  pool = createPool(stacks[0].config);
});
afterAll(async () => {
  await pool.end();
  for (const stack of stacks) await stack.remove();
});

describe('the probe of a store on two sites', { timeout: 300_000 }, () => {
  const logger = createLogger('test', 'silent');
  const probed = (first: Partial<S3Place>, second: Partial<S3Place>, signal = AbortSignal.timeout(240_000)): Promise<void> =>
    probedGateway({ ...stacks[0].config, s3: { ...s3Of(0), ...first }, secondS3: { ...s3Of(1), ...second } }, pool, logger, signal);

  it('lets a worker start where both answer, or one of them', async () => {
    await expect(probed({}, {})).resolves.toBeUndefined();
    await expect(probed({}, { endpoint: silentPort })).resolves.toBeUndefined();
    await expect(probed({ endpoint: silentPort }, {})).resolves.toBeUndefined();
  });

  it('refuses a site with wrong keys or without its bucket, and names it', async () => {
    await expect(probed({}, { secretKey: 'wrong' })).rejects.toThrow(
      /^the second site of the store: the key in MW_S3_SECOND_ACCESS_KEY may not .*set MW_S3_SECOND_ACCESS_KEY/,
    );
    await expect(probed({ secretKey: 'wrong' }, {})).rejects.toThrow(/^the first site of the store: the key in MW_S3_ACCESS_KEY may not /);
    await expect(probed({}, { bucket: 'no-such-bucket' })).rejects.toThrow(
      /^the second site of the store: bucket no-such-bucket does not exist on .*MW_S3_SECOND_BUCKET/,
    );
  });
});

describe('`mw doctor` with two sites', { timeout: 300_000 }, () => {
  type Told = { readonly problems: readonly { readonly problem: string; readonly remedy: string }[]; readonly store: unknown };
  const settings = (prefix: string, { endpoint, bucket, accessKey, secretKey }: S3Place) => ({
    [`${prefix}_ENDPOINT`]: endpoint,
    [`${prefix}_BUCKET`]: bucket,
    [`${prefix}_ACCESS_KEY`]: accessKey,
    [`${prefix}_SECRET_KEY`]: secretKey,
  });
  /** What it says of the store: of the machine it says other things too. */
  async function told(first: Partial<S3Place>, second: Partial<S3Place>): Promise<{ said: string[]; store: unknown }> {
    const models = join(stacks[0].home, 'no-models');
    await mkdir(models, { recursive: true });
    const env = {
      ...stacks[0].env,
      ...settings('MW_S3', { ...s3Of(0), ...first }),
      ...settings('MW_S3_SECOND', { ...s3Of(1), ...second }),
      MW_MODELS_DIR: models,
    };
    const child = spawn(process.execPath, [join(projectDir, 'cli/main.ts'), 'doctor', '--json'], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
    await new Promise((resolve) => child.once('close', resolve));
    const { problems, store } = JSON.parse(output) as Told;
    return {
      said: problems.filter(({ problem }) => problem.includes('of the store')).map(({ problem, remedy }) => `${problem} | ${remedy}`),
      store,
    };
  }

  it('names the site that is away, has wrong keys or lacks the bucket, and what to do', async () => {
    expect(await told({}, {})).toEqual({ said: [], store: expect.objectContaining({ range: true }) });
    expect(await told({}, { endpoint: silentPort })).toEqual({
      said: [
        expect.stringMatching(
          /^the second site of the store: .*127\.0\.0\.1:1.* \| see that http:\/\/127\.0\.0\.1:1 runs \(MW_S3_SECOND_ENDPOINT\)/,
        ),
      ],
      store: expect.objectContaining({ range: true }),
    });
    expect((await told({ endpoint: silentPort }, {})).said).toEqual([
      expect.stringMatching(/^the first site of the store: .* \| see that http:\/\/127\.0\.0\.1:1 runs \(MW_S3_ENDPOINT\)/),
    ]);
    expect((await told({}, { secretKey: 'wrong' })).said).toEqual([
      expect.stringMatching(/^the second site of the store: the key in MW_S3_SECOND_ACCESS_KEY may not look/),
    ]);
    expect((await told({}, { bucket: 'no-such-bucket' })).said).toEqual([
      expect.stringMatching(/^the second site of the store: bucket no-such-bucket does not exist/),
    ]);
  });
});
