import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRows } from '../cli/demo/demo-data.ts';
import { canRunCluster } from '../infra/cluster/requirements.ts';
import { demoDataFile } from '../infra/local/demo-data.ts';
import { resolvePaths } from '../platform/paths.ts';
import { type CliHome, makeCliHome } from './support/cli-home.ts';

const why = canRunCluster();

describe.skipIf(why !== null)(`the whole main job with training in pods${why === null ? '' : ` (${why})`}`, () => {
  let home: CliHome;
  beforeAll(async () => {
    home = await makeCliHome();
  });
  afterAll(async () => {
    await home?.mw(['cluster', 'down']);
    await home?.remove();
  });

  it('`mw demo --executor kubernetes` brings up a cluster, trains on it, and promotes two versions', async () => {
    const some = (await readRows(demoDataFile(resolvePaths(process.env)))).filter((_, i) => i % 7 === 0);
    const file = join(home.folder, 'articles.jsonl');
    await writeFile(file, some.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const { status, output } = await home.mw(['demo', '--executor', 'kubernetes', '--data', file]);
    expect(`${output}\nstatus ${status}`).toContain('status 0');
    expect(output).toMatch(/v2 +(?:[89]\d\.\d|100\.0) %/);
    const cluster = await home.mw(['cluster', 'status', '--json']);
    expect(JSON.parse(cluster.output)).toMatchObject({ phase: 'running', nodes: 2 });
    // What trained is what the nodes ran: the worker says where, and no local process was started.
    const log = await home.shell('./mw logs training');
    expect(log.output).toContain('trainings run as Jobs on the cluster');
  });
});
