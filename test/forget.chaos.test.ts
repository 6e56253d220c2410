import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../cli/api-client.ts';
import type { Page } from '../cli/api-types.ts';
import type { ForgettingCertificate, ForgettingState } from '../core/forgetting.ts';
import { engineNames, serviceNames } from '../core/process-names.ts';
import { type Pool, createPool } from '../platform/mysql.ts';
import { projectDir } from '../platform/paths.ts';
import { createS3Client } from '../platform/s3.ts';
import { parseTrustedKeys, signingKeys } from '../platform/signing-keys.ts';
import { certificateProblem, exampleDigest } from '../store/forgetting-certificate.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { createS3ObjectStore } from '../store/s3-object-store.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { LiveTenant, eventually, sentences } from './support/live-tenant.ts';
import { Operator } from './support/mapped-tables.ts';
import { filesWith, objectsWith, tablesWith } from './support/raw-traces.ts';
import { rootPool } from './support/root-pool.ts';

type Shown = {
  readonly number: number;
  readonly state: ForgettingState;
  readonly waitsFor: readonly string[];
  readonly withdrawn: { readonly versions: readonly number[]; readonly datasets: readonly number[] };
  readonly certificate: ForgettingCertificate | null;
};

let stack: TestStack;
let pool: Pool;
let root: Pool;
let store: ObjectStore;
let operator: Operator;

beforeAll(async () => {
  stack = await startTestStack({ engines: engineNames, services: serviceNames, env: { MW_BACKUP_DAYS: '14' } });
  pool = createPool(stack.config);
  root = rootPool(stack);
  store = createS3ObjectStore(createS3Client(stack.config), stack.config.s3.bucket);
  operator = new Operator(stack, root);
});
afterAll(async () => {
  await pool.end();
  await root.end();
  await stack.remove();
});

const ask = (api: ApiClient, c: string, exampleIds: readonly string[], more: object = {}) =>
  api.call<{ number: number }>('POST', `/v1/customizations/${c}:forget`, { exampleIds, ...more });
const look = (api: ApiClient, c: string, number: number) => api.call<Shown>('GET', `/v1/customizations/${c}/forgettings/${number}`);
const until = (api: ApiClient, c: string, number: number, what: string, holds: (shown: Shown) => boolean): Promise<Shown> =>
  eventually(
    what,
    async () => {
      const now = await look(api, c, number);
      if (holds(now)) return now;
      throw new Error(`${now.state}: ${now.waitsFor.join('; ')}`);
    },
    300_000,
  );
const done = (api: ApiClient, c: string, number: number) =>
  until(api, c, number, 'the certificate', ({ certificate }) => certificate !== null);

/** `mw forget` as a person calls it. */
async function mwForget(key: string, ...args: readonly string[]): Promise<{ readonly status: number | null; readonly output: string }> {
  const child = spawn(process.execPath, [join(projectDir, 'cli/main.ts'), 'forget', ...args], { env: { ...stack.env, MW_KEY: key } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
  return { status: await new Promise((resolve) => child.once('close', resolve)), output };
}

/** Where no trace may be: MySQL's own files are among the residuals. */
async function traces(text: string): Promise<string[]> {
  return [...(await objectsWith(store, text)), ...(await filesWith(stack.home, text, ['mysql'])), ...(await tablesWith(pool, text))];
}

describe('forgetting on real engines', () => {
  it('leaves no byte of the text anywhere, whichever process is killed, and all that other rows taught', async () => {
    const tenant = await LiveTenant.make(stack, pool, 'forgetful');
    const { api, c } = tenant;
    const other = await LiveTenant.make(stack, pool, 'bystander');
    const text = 'Zanzibarella "Quux" Überkandidel owes a recipe with forty-one tomatoes';
    const before = await other.submit(sentences(0, 60));
    await api.call('PUT', `/v1/customizations/${c}/examples/secret`, { text, label: 'food' }, { 'idempotency-key': 'the secret' });
    for (let n = 0; n < 2; n++) await tenant.served(await tenant.submit(sentences(n * 90, (n + 1) * 90)));
    await other.served(before);
    await tenant.reaches(['succeeded'], 2);
    // A version that is asked lies in the predictor's cache.
    for (const version of [1, 2]) await api.call('POST', `/v1/customizations/${c}:predict`, { inputs: [{ text: 'A soup' }], version });
    const sees = async (): Promise<boolean> => {
      const found = await traces('Zanzibarella');
      return found.some((where) => where.includes('/buckets/')) && found.some((where) => where.endsWith('idempotency_keys'));
    };
    // Otherwise nothing could be learned from finding none afterwards.
    expect(await sees()).toBe(true);

    const { number } = await ask(api, c, ['secret'], { reason: 'the person asked' });
    expect((await ask(api, c, ['secret'])).number).toBe(number);
    const file = join(stack.home, 'certificate.json');
    const waiting = mwForget(tenant.key, c, 'secret', '--wait', '--out', file);
    stack.kill('sharding', 'SIGKILL');
    await until(api, c, number, 'the withdrawal', ({ withdrawn }) => withdrawn.versions.length > 0);
    for (const name of ['sharding', 'orchestrator', 'training', 'api'] as const) stack.kill(name, 'SIGKILL');
    const { certificate, withdrawn } = await done(api, c, number);
    expect(withdrawn).toEqual({ versions: [1, 2], datasets: [1, 2] });
    const { status, output } = await waiting;
    expect([status, output]).toEqual([0, expect.stringMatching(/forgetting 1: done, certified .*\n(.*\n)*its signature is good; it took/)]);
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual(certificate);

    expect(await traces('Zanzibarella')).toEqual([]);
    expect(await traces(JSON.stringify(text).slice(1, -1))).toEqual([]);
    const { items } = await api.call<Page<{ publicKey: string }>>('GET', '/v1/signing-keys');
    const { trusted } = signingKeys(null, parseTrustedKeys(items.map(({ publicKey }) => publicKey).join()));
    if (!certificate) throw new Error('there is no certificate');
    expect(certificateProblem(certificate, trusted)).toBeNull();
    expect(certificateProblem({ ...certificate, askedBy: 'somebody' }, trusted)).toBe('it was changed after it was signed');
    expect(certificate.examples.digests).toEqual([exampleDigest(certificate.examples.salt, 'secret')]);
    expect(certificate.search).toMatchObject({ texts: 1, shared: { texts: 0 }, elsewhere: [] });
    expect(certificate.removed.objects).toBeGreaterThan(0);
    expect(certificate.search.objects).toBeGreaterThan(0);
    const residual = (where: string) => certificate.residuals.find((one) => one.where === where);
    const days = (where: string) =>
      (Date.parse(residual(where)?.until ?? '') - Date.parse(certificate[where === 'backups' ? 'issuedAt' : 'askedAt'])) / 86_400_000;
    expect(days('MySQL binary log')).toBeCloseTo(7, 3);
    expect(days('Kafka topic mw.modelwright.examples')).toBeCloseTo(7, 3);
    expect(days('backups')).toBeCloseTo(14, 3);
    expect(residual('Temporal')?.until).not.toBeNull();

    expect(await tenant.predict('A recipe with cheese')).toMatchObject({ version: 3, outputs: [{ label: 'food' }] });
    expect(await tenant.latestDatasetRows()).toBe(180);
    expect(await other.predict('A recipe with cheese')).toMatchObject({ version: 1 });
    await expect(api.call('POST', `/v1/customizations/${c}:predict`, { inputs: [{ text: 'A soup' }], version: 2 })).rejects.toMatchObject({
      code: 'version_removed',
    });
    await expect(api.call('POST', `/v1/customizations/${c}:rollback`)).rejects.toThrow(/no previous version/);
    // Another training goes on from there as ever.
    await tenant.served(await tenant.submit(sentences(180, 200)));
  });

  it('waits for the operator who holds a version, and withdraws what serves when the deadline has passed without a successor', async () => {
    const tenant = await LiveTenant.make(stack, pool, 'scarce');
    const { api, c } = tenant;
    const rows = sentences(0, 30);
    await tenant.served(await tenant.submit(rows));
    const hold = '/v1/tenants/scarce/customizations/stories/models/1/hold';
    await operator.api.call('PUT', hold, { reason: 'audit' });
    // What is left is too little to train from.
    const { number } = await ask(
      api,
      c,
      rows.slice(0, 20).map(({ id }) => id),
      { deadlineMs: 3_000 },
    );
    await until(
      api,
      c,
      number,
      'the hold to be met',
      ({ state, waitsFor }) => state === 'blocked' && waitsFor.join().includes('an operator holds v1'),
    );
    expect(await tenant.predict('A recipe')).toMatchObject({ version: 1 });
    await operator.api.call('DELETE', hold);
    const { certificate } = await done(api, c, number);
    expect(certificate?.withdrawn.versions).toEqual([1]);
    expect((await objectsWith(store, 'Story number 7 is')).filter((key) => key.includes('scarce'))).toEqual([]);
    await expect(tenant.predict('A recipe')).rejects.toMatchObject({
      code: 'no_model_yet',
      message: expect.stringContaining('forgetting 1'),
    });
    await tenant.served(await tenant.submit(sentences(100, 160)));
    expect(await tenant.predict('A recipe with cheese')).toMatchObject({ version: 2 });
  });

  it('takes rows of a mapped table when they are deleted there, and names those that are not', async () => {
    await root.query('CREATE DATABASE shop');
    await root.query('CREATE TABLE shop.stories (number BIGINT PRIMARY KEY, body TEXT, topic VARCHAR(40)) CHARSET utf8mb4');
    const values = sentences(0, 90).map(({ text, label }, i) => [i, i === 5 ? `Wolpertinger ${text}` : text, label]);
    await root.query('INSERT INTO shop.stories (number, body, topic) VALUES ?', [values]);
    const api = await operator.tenant('shop');
    await operator.grant('shop', 'shop.stories');
    const source = { database: 'shop', table: 'stories', columns: { id: 'number', text: 'body', label: 'topic' } };
    const policy = { quietPeriodMs: 1_000 };
    await api.call('POST', '/v1/customizations', { id: 'stories', name: 'S', businessModel: 'text-classification', policy, source });
    const predicted = () => api.call<{ version: number }>('POST', '/v1/customizations/stories:predict', { inputs: [{ text: 'A soup' }] });
    await eventually('a version', predicted, 240_000);
    expect(await objectsWith(store, 'Wolpertinger')).toHaveLength(1);
    await expect(ask(api, 'stories', ['5', '6'])).rejects.toMatchObject({
      status: 409,
      code: 'rows_not_deleted',
      message: /exampleIds\/6/,
    });
    await root.query('DELETE FROM shop.stories WHERE number IN (5, 6)');
    const { number } = await ask(api, 'stories', ['5', '6']);
    const { certificate } = await done(api, 'stories', number);
    expect(certificate?.withdrawn.versions).toEqual([1]);
    expect(certificate?.residuals.map(({ where }) => where).join()).toContain('mw-source-shop.shop.stories');
    expect((await objectsWith(store, 'Wolpertinger')).concat(await filesWith(stack.home, 'Wolpertinger', ['mysql']))).toEqual([]);
    expect(await predicted()).toMatchObject({ version: 2 });
  });
});
