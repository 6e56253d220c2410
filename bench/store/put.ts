import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { lean } from '../../infra/local/service-process.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { judge } from '../support/figures.ts';
import { benchEndpoint } from './endpoint.ts';
import { type Usage, benchTools, best, line, usageOf, usageOfPeer } from './measured-run.ts';
import { realShapes, writeModel } from './synthetic-model.ts';

// A model from a file into the store: the sharder, which cuts and hashes it, against boto3, aws-cli and rclone, which send the file as it is.
// `node bench/store/put.ts [--gib N] [--rounds N]`

const { values } = parseArgs({ options: { gib: { type: 'string', default: '1' }, rounds: { type: 'string', default: '3' } } });
const largestMiB = 256;
const tools = await benchTools(resolvePaths(process.env));
const folder = await mkdtemp(join(tmpdir(), 'mw-bench-put-'));
const { s3, store, close } = await benchEndpoint();
try {
  const file = join(folder, 'model.safetensors');
  const bytes = await writeModel(file, realShapes(Number(values.gib) * 2 ** 30));
  const key = 'put/whole.safetensors';
  const child = join(import.meta.dirname, 'put-child.ts');
  const peer = (way: string) => (): Promise<Usage> => usageOfPeer(tools, folder, { way, send: true, key, file, rclone: tools.rclone }, s3);
  const allocator = Object.entries(lean.env).map(([name, value]) => `${name}=${value}`);
  const ours = 'sharder, hashed';
  const ways: Readonly<Record<string, () => Promise<Usage>>> = {
    [ours]: () =>
      usageOf(tools, folder, ['env', ...allocator, process.execPath, ...lean.flags, child, file, 'put/shards', JSON.stringify(s3)], s3),
    boto3: peer('boto3'),
    'aws-cli': peer('awscli'),
    rclone: peer('rclone'),
  };
  const runs = new Map<string, Usage[]>(Object.keys(ways).map((name) => [name, []]));
  for (let round = 0; round < Number(values.rounds); round++)
    for (const [name, run] of Object.entries(ways)) {
      runs.get(name)?.push(await run());
      const left: string[] = [];
      for await (const { key: found } of store.list('put/')) left.push(found);
      await store.delete(left);
    }
  console.log(`${bytes} bytes`);
  for (const [name, found] of runs) console.log(line(name, found, bytes));
  const speed =
    Math.min(...['boto3', 'aws-cli', 'rclone'].map((name) => best(runs.get(name) ?? [], 'wallS'))) / best(runs.get(ours) ?? [], 'wallS');
  const peakMiB = Math.max(...(runs.get(ours) ?? []).map((run) => run.peakMiB));
  judge([
    { what: `${speed.toFixed(2)}x the fastest of boto3, aws-cli and rclone by wall time (>= 0.9x)`, holds: speed >= 0.9 },
    { what: `peak memory of the sharder ${peakMiB.toFixed(0)} MiB (<= ${largestMiB})`, holds: peakMiB <= largestMiB },
  ]);
} finally {
  await close();
  await rm(folder, { recursive: true, force: true });
}
