import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { storeTensors } from '../../activities/sharding/store-tensors.ts';
import { runCommand } from '../../infra/local/run-command.ts';
import { projectDir, resolvePaths } from '../../platform/paths.ts';
import { judge, median } from '../support/figures.ts';
import { benchEndpoint } from './endpoint.ts';
import { type Usage, benchTools, best, line, usageOf, usageOfPeer } from './measured-run.ts';
import { realShapes, writeModel } from './synthetic-model.ts';

// A model from the store into tensors: sdk/python, which checks every shard, against boto3, aws-cli and rclone with `safetensors.load_file`, which check
// nothing, boto3 with `torch.load`, and curl, which loads nothing. `node bench/store/get.ts [--gib N] [--rounds N]`

const { values } = parseArgs({ options: { gib: { type: 'string', default: '1' }, rounds: { type: 'string', default: '3' } } });
const paths = resolvePaths(process.env);
const tools = await benchTools(paths);
const folder = await mkdtemp(join(tmpdir(), 'mw-bench-get-'));
const { s3, store, close } = await benchEndpoint();
try {
  const file = join(folder, 'model.safetensors');
  const bytes = await writeModel(file, realShapes(Number(values.gib) * 2 ** 30));
  const { tensors, shards } = await storeTensors(
    store,
    file,
    'tenant',
    (sha256) => `shards/${sha256}`,
    () => undefined,
  );
  const toTorch = 'import sys, torch; from safetensors.torch import load_file; torch.save(load_file(sys.argv[1]), sys.argv[2])';
  const sent = async (path: string, key: string): Promise<void> => {
    await usageOfPeer(tools, join(folder, 'send'), { way: 'boto3', send: true, file: path, key }, s3);
  };
  await sent(file, 'whole.safetensors');
  await runCommand(tools.python, ['-c', toTorch, file, `${file}.pt`]);
  await sent(`${file}.pt`, 'whole.pt');
  for (const path of [file, `${file}.pt`]) await rm(path);
  console.log(`${bytes} bytes in ${Object.keys(tensors).length} tensors and ${shards.length} shards`);

  const parts = await Promise.all(
    shards.map(async ({ sha256, bytes: size, key }) => ({ sha256, bytes: size, url: await store.presignGet(key, 86_400) })),
  );
  const whole = await store.presignGet('whole.safetensors', 86_400);
  const target = join(folder, 'got');
  const peer = (way: string, key: string) => (): Promise<Usage> =>
    usageOfPeer(tools, folder, { way, key, file: target, rclone: tools.rclone }, s3);
  const ways: Readonly<Record<string, () => Promise<Usage>>> = {
    'sdk/python, verified': () => usageOfPeer(tools, folder, { way: 'ours', loader: join(projectDir, 'sdk/python'), tensors, parts }, s3),
    'boto3 + load_file': peer('boto3', 'whole.safetensors'),
    'aws-cli + load_file': peer('awscli', 'whole.safetensors'),
    'rclone + load_file': peer('rclone', 'whole.safetensors'),
    'boto3 + torch.load': peer('boto3-torch', 'whole.pt'),
    'PyTorch alone': peer('torch alone', ''),
    'curl, to nowhere': () => usageOf(tools, folder, ['curl', '-sf', '-o', '/dev/null', whole], s3),
  };
  const runs = new Map<string, Usage[]>(Object.keys(ways).map((name) => [name, []]));
  for (let round = 0; round < Number(values.rounds); round++)
    for (const [name, run] of Object.entries(ways)) {
      await rm(target, { force: true });
      runs.get(name)?.push(await run());
    }
  for (const [name, found] of runs) console.log(line(name, found, bytes));
  const of = (name: string, figure: 'wallS' | 'cpuS'): number => best(runs.get(name) ?? [], figure);
  const ours = 'sdk/python, verified';
  // Its libraries are loaded in the time of every way but curl's.
  const ofCurl = of('curl, to nowhere', 'wallS') / median((runs.get(ours) ?? []).map(({ saidS = 0 }) => saidS));
  const fastest = (figure: 'wallS' | 'cpuS'): number =>
    Math.min(...['boto3', 'aws-cli', 'rclone'].map((name) => of(`${name} + load_file`, figure)));
  const peakOf = (name: string): number => Math.max(...(runs.get(name) ?? []).map(({ peakMiB }) => peakMiB));
  const own = peakOf(ours) - peakOf('PyTorch alone');
  const mostMiB = (shards.reduce((sum, shard) => sum + shard.bytes, 0) + Math.max(...shards.map((shard) => shard.bytes))) / 2 ** 20;
  judge([
    {
      what: `peak memory of the loader ${own.toFixed(0)} MiB more than PyTorch alone (model and one shard: <= ${mostMiB.toFixed(0)})`,
      holds: own <= mostMiB,
    },
    { what: `${(100 * ofCurl).toFixed(0)} % of the speed of curl (>= 80 %)`, holds: ofCurl >= 0.8 },
    ...(['wallS', 'cpuS'] as const).flatMap((figure) => {
      const unit = figure === 'wallS' ? 'wall time' : 'CPU seconds';
      const [files, torch] = [fastest(figure) / of(ours, figure), of('boto3 + torch.load', figure) / of(ours, figure)];
      return [
        { what: `${unit}: ${files.toFixed(2)}x the fastest of boto3, aws-cli and rclone + load_file (>= 1.2x)`, holds: files >= 1.2 },
        { what: `${unit}: ${torch.toFixed(2)}x boto3 + torch.load (>= 2x)`, holds: torch >= 2 },
      ];
    }),
  ]);
} finally {
  await close();
  await rm(folder, { recursive: true, force: true });
}
