import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { projectDir } from '../platform/paths.ts';
import { type TestStack, startTestStack } from '../test/support/engines.ts';
import { eventually } from '../test/support/live-tenant.ts';
import { createApiClient } from './api-client.ts';
import { openForgettingLines, readForgettings } from './forgettings-lines.ts';

let stack: TestStack;
const keys: Record<string, string> = {};

beforeAll(async () => {
  stack = await startTestStack({ engines: ['mysql', 's3', 'temporal'], services: ['api', 'orchestrator', 'sharding'] });
  const url = `http://127.0.0.1:${stack.config.settings.MW_API_PORT}`;
  for (const id of ['acme', 'other']) {
    const { key } = await createApiClient(url, stack.config.operatorKey).call<{ key: string }>('POST', '/v1/tenants', { id, name: id });
    keys[id] = key;
  }
  const api = createApiClient(url, keys['acme'] ?? '');
  await api.call('POST', '/v1/customizations', { id: 'news', name: 'News', businessModel: 'text-classification' });
  await api.call('PUT', '/v1/customizations/news/examples/s17', { text: 'the text of s17', label: 'a' });
});
afterAll(async () => await stack.remove());

type Said = { readonly status: number | null; readonly stdout: string; readonly stderr: string };
/** As a person calls it; `key` null: without one. */
async function forget(args: readonly string[], key: string | null = keys['acme'] ?? ''): Promise<Said> {
  const { MW_KEY: _none, ...env } = stack.env;
  const child = spawn(process.execPath, [join(projectDir, 'cli/main.ts'), 'forget', ...args], {
    env: { ...env, ...(key === null ? {} : { MW_KEY: key }) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.stdout += chunk.toString('utf8')));
  child.stderr.on('data', (chunk: Buffer) => (said.stderr += chunk.toString('utf8')));
  return { status: await new Promise((resolve) => child.once('close', resolve)), ...said };
}
const refused = async (args: readonly string[], sentence: RegExp, key?: string | null): Promise<void> => {
  expect(await forget(args, key)).toEqual({ status: 1, stdout: '', stderr: expect.stringMatching(sentence) });
};

it('refuses what names nothing, or makes no sense, with a sentence', async () => {
  await refused([], /missing required argument 'customization'/);
  await refused(['news', '--wait'], /^mw: nothing to forget is named: give the ids of examples/);
  await refused(['news', 's17', '--out', 'certificate.json'], /^mw: --out writes the certificate, which --wait waits for/);
  for (const hours of ['soon', '-1', '']) await refused(['news', 's17', `--deadline=${hours}`], /^mw: --deadline is a number of hours/);
  await refused(['news', ...Array.from({ length: 1_001 }, (_, n) => `s${n}`)], /^mw: .*exampleIds/s);
  for (const args of [['nothing-like-it'], ['nothing-like-it', 's17']])
    await refused(args, /^mw: there is no customization nothing-like-it/);
  expect(await forget(['news'])).toMatchObject({ status: 0, stdout: 'nothing of news was asked to be forgotten\n' });
});

it('refuses whoever may not, and says nothing of what is there', async () => {
  await refused(['news', 's17'], /^mw: no tenant key: set MW_KEY/, null);
  await refused(['news', 's17'], /^mw: /, 'mw_not_a_key');
  for (const args of [['news'], ['news', 's17']]) await refused(args, /^mw: there is no customization news/, keys['other'] ?? '');
  // The operator has no customizations of its own.
  await refused(['news', 's17'], /^mw: /, stack.config.operatorKey);
  expect(await forget(['news'])).toMatchObject({ status: 0, stdout: 'nothing of news was asked to be forgotten\n' });
});

it('takes ids that nobody knows too, asks no second time, and shows what it waits for, to the operator too', async () => {
  const { status, stdout } = await forget(['news', 's17', 'never-there', '--reason', 'asked by the author']);
  expect([status, stdout]).toEqual([0, expect.stringMatching(/^forgetting 1: .*\n(.*\n)*look again with `\.\/mw forget news`\n$/)]);
  expect(JSON.parse((await forget(['news', 'never-there', 's17', '--json'])).stdout)).toMatchObject({ number: 1, examples: 2 });
  // There is no training worker here: that is what it waits for.
  await eventually(
    'what it waits for',
    async () => {
      const shown = await forget(['news']);
      if (!/removing.*\n {2}waits: what trainings keep .* `training`/.test(shown.stdout)) throw new Error(shown.stdout);
      return shown;
    },
    120_000,
  );
  const lines = openForgettingLines(await readForgettings(stack.config));
  expect(lines.join('\n')).toMatch(/^forgetting 1 of acme\/news: removing, asked .*\n {2}waits: what trainings keep/);
  const api = createApiClient(`http://127.0.0.1:${stack.config.settings.MW_API_PORT}`, keys['acme'] ?? '');
  expect(await api.call('GET', '/v1/customizations/news/status')).toMatchObject({
    forgettings: [{ number: 1, state: 'removing', waitsFor: [expect.stringContaining('what trainings keep')] }],
  });
});
