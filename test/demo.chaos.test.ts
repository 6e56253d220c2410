import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRows } from '../cli/demo/demo-data.ts';
import { demoDataFile } from '../infra/local/demo-data.ts';
import { projectDir, resolvePaths } from '../platform/paths.ts';
import { type CliHome, makeCliHome } from './support/cli-home.ts';
import { sentences } from './support/live-tenant.ts';

let home: CliHome;

beforeAll(async () => {
  home = await makeCliHome();
});
afterAll(async () => await home.remove());

describe('the documentation', () => {
  it("has commands for a tenant's day that do what it says, one after the other", async () => {
    await writeFile(
      join(home.folder, 'articles.jsonl'),
      sentences(0, 120)
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(''),
    );
    const page = await readFile(join(projectDir, 'docs/02-using.md'), 'utf8');
    const lines = /```sh\n(.*?)```/s.exec(page)?.[1]?.trim().split('\n') ?? [];
    expect(lines.length).toBeGreaterThan(5);
    for (const line of lines) {
      const { status, output } = await home.shell(line);
      expect(`${line}\n${output}\nstatus ${status}`).toContain('\nstatus 0');
    }
    expect(await readFile(join(home.folder, 'news-model/model.safetensors.index.json'), 'utf8')).toContain('weight_map');
    expect((await home.shell('./mw down')).status).toBe(0);
  });
});

describe('the demo', () => {
  it('with a file of the user ends with two versions, and stops what it started', async () => {
    // Every seventh article: all five topics, in a fraction of the time.
    const some = (await readRows(demoDataFile(resolvePaths(process.env)))).filter((_, i) => i % 7 === 0);
    const file = join(home.folder, 'articles.jsonl');
    await writeFile(file, some.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const { status, output } = await home.mw(['demo', '--data', file]);
    expect(`${output}\nstatus ${status}`).toContain('status 0');
    for (const station of ['committed', 'sensed', 'due', 'dataset', 'training', 'gate', 'published', 'serving'])
      expect(output.match(new RegExp(`^ {2}${station.padEnd(11)} [+\\d]`, 'gm'))).toHaveLength(2);
    expect(output).toMatch(/v1 +(?:[89]\d\.\d|100\.0) %/);
    expect(output).toMatch(/v2 +(?:[89]\d\.\d|100\.0) %/);
    expect(output).toContain('stopped');
    expect((await home.mw(['status', '--json'])).output).toContain('"down"');
  });

  it('with a file that cannot be used says why and starts nothing', async () => {
    const file = join(home.folder, 'bad.jsonl');
    await writeFile(file, '{"text":"no label"}\n');
    const { status, output } = await home.mw(['demo', '--data', file]);
    expect(status).toBe(1);
    expect(output).toContain('row 1 needs a text and a label');
  });

  it('and `up` name every port that is taken, by whom, and what to set', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(Number(home.env['MW_API_PORT']), '127.0.0.1', resolve));
    const { status, output } = await home.mw(['up']);
    server.close();
    expect(status).toBe(1);
    expect(output).toContain(`port ${home.env['MW_API_PORT']} for api is taken by process ${process.pid}`);
    expect(output).toContain('set MW_API_PORT to a free port');
  });
});
