import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectDir } from '../platform/paths.ts';
import { type CliHome, makeCliHome } from './support/cli-home.ts';

let home: CliHome;

beforeAll(async () => {
  home = await makeCliHome();
});
afterAll(async () => await home.remove());

describe('a business model of one folder', () => {
  it('is added, learns, is judged and serves as the page says, and no file of the project knows it', async () => {
    const page = await readFile(join(projectDir, 'docs/models/adding-a-business-model.md'), 'utf8');
    const files = [...page.matchAll(/^`(catalogue\/[\w./-]+)`\n\n```\w+\n(.*?)^```/gms)];
    expect(files.map(([, path]) => path)).toHaveLength(6);
    for (const [, path = '', text = ''] of files) {
      await mkdir(dirname(join(home.folder, path)), { recursive: true });
      await writeFile(join(home.folder, path), text);
    }
    const commands = /^```sh\n(.*?)^```/ms.exec(page)?.[1] ?? '';
    expect(commands).toContain('./mw predict');
    const { status, output } = await home.shell(`set -e\n${commands}`);
    expect(`${output}\nstatus ${status}`).toContain('\nstatus 0');
    // The station, the version and both answers, as the commands print them.
    expect(output).toMatch(/serving +[+\d].*v1 answers/);
    expect(output).toMatch(/^v1 +production +accuracy /m);
    expect(output).toMatch(/^food +\d+\.\d % +We ate pasta/m);
    expect(output).toMatch(/^sport +\d+\.\d % +The players/m);

    const { status: asked, output: json } = await home.mw(['predict', 'topics', 'The goalkeeper scored a goal', '--json']);
    expect(asked).toBe(0);
    expect(JSON.parse(json)).toMatchObject({ version: 1, outputs: [{ label: 'sport' }] });
    const { output: runs } = await home.mw(['runs', 'topics', '--json']);
    const [run] = (JSON.parse(runs) as { items: { state: string; metrics: unknown; verdict: { details?: { key: string } } }[] }).items;
    expect(run).toMatchObject({ state: 'succeeded', metrics: { metric: 'accuracy', unit: 'share' } });
    expect(run?.verdict.details?.key).toMatch(/gates/);
  });
});
