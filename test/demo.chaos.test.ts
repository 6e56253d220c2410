import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRows } from '../cli/demo/demo-data.ts';
import { demoDataFile } from '../infra/local/demo-data.ts';
import { settingsSchema } from '../platform/config.ts';
import { projectDir, resolvePaths } from '../platform/paths.ts';

let folder = '';
let env: Record<string, string> = {};

const freePort = async (): Promise<number> =>
  await new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

const run = async (args: readonly string[]): Promise<{ status: number | null; output: string }> => {
  const child = spawn(process.execPath, [join(projectDir, 'cli/main.ts'), ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
  return { status: await new Promise((resolve) => child.once('close', resolve)), output };
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mw-demo-'));
  const ports = Object.keys(settingsSchema.shape).filter((name) => name.endsWith('_PORT'));
  const kept = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !entry[0].startsWith('VITEST'),
  );
  env = Object.fromEntries([...kept, ['MW_HOME', join(folder, 'home')], ['NODE_ENV', 'production']]);
  for (const name of ports) env[name] = String(await freePort());
});
afterAll(async () => {
  await run(['down']);
  await rm(folder, { recursive: true, force: true });
});

describe('the demo', () => {
  it('with a file of the user ends with two versions, and stops what it started', async () => {
    // Every seventh article: all five topics, in a fraction of the time.
    const some = (await readRows(demoDataFile(resolvePaths(process.env)))).filter((_, i) => i % 7 === 0);
    const file = join(folder, 'articles.jsonl');
    await writeFile(file, some.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const { status, output } = await run(['demo', '--data', file]);
    expect(`${output}\nstatus ${status}`).toContain('status 0');
    for (const station of ['committed', 'sensed', 'due', 'dataset', 'training', 'gate', 'published', 'serving'])
      expect(output.match(new RegExp(`^ {2}${station.padEnd(11)} [+\\d]`, 'gm'))).toHaveLength(2);
    expect(output).toMatch(/v1 +(?:[89]\d\.\d|100\.0) %/);
    expect(output).toMatch(/v2 +(?:[89]\d\.\d|100\.0) %/);
    expect(output).toContain('stopped');
    expect((await run(['status', '--json'])).output).toContain('"down"');
  });

  it('with a file that cannot be used says why and starts nothing', async () => {
    const file = join(folder, 'bad.jsonl');
    await writeFile(file, '{"text":"no label"}\n');
    const { status, output } = await run(['demo', '--data', file]);
    expect(status).toBe(1);
    expect(output).toContain('row 1 needs a text and a label');
  });

  it('and `up` name every port that is taken, by whom, and what to set', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(Number(env['MW_API_PORT']), '127.0.0.1', resolve));
    const { status, output } = await run(['up']);
    server.close();
    expect(status).toBe(1);
    expect(output).toContain(`port ${env['MW_API_PORT']} for api is taken by process ${process.pid}`);
    expect(output).toContain('set MW_API_PORT to a free port');
  });
});
