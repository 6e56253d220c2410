import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildCacheEntry } from '../../infra/local/cache-entry.ts';
import { runCommand } from '../../infra/local/run-command.ts';
import type { Paths } from '../../platform/paths.ts';
import { peerPython } from '../support/peer-python.ts';
import { median } from '../support/figures.ts';
import type { S3Place } from '../../platform/config.ts';

const here = import.meta.dirname;
const measured = join(here, '../training/measured.py');
const rcloneModule = 'github.com/rclone/rclone@v1.76.0';

/** What a whole process took, its start included. */
/** `saidS`: the number that it printed last, if it did. */
export type Usage = { readonly wallS: number; readonly cpuS: number; readonly peakMiB: number; readonly saidS?: number };
export type Tools = { readonly python: string; readonly rclone: string };

/** boto3 and aws-cli from PyPI, rclone compiled; kept in the cache. */
export async function benchTools(paths: Paths): Promise<Tools> {
  const python = await peerPython(paths, 'bench-store-peers', join(here, 'peers.txt'));
  const folder = join(paths.cache, 'bench-rclone-1.76.0');
  const context = { paths, report: (line: string) => console.error(line), signal: new AbortController().signal };
  await buildCacheEntry(context, folder, async (target) => {
    context.report('compiling rclone (some minutes the first time)');
    await runCommand('go', ['install', rcloneModule], { env: { GOBIN: target } });
  });
  return { python, rclone: join(folder, 'rclone') };
}

/** Runs a command line in a process of its own and says what it took, children included. */
export async function usageOf({ python }: Tools, folder: string, command: readonly string[], s3: S3Place): Promise<Usage> {
  const file = join(folder, 'usage.json');
  const exec = 'import os, sys; os.execvp(sys.argv[1], sys.argv[1:])';
  const said = await runCommand(python, [measured, file, '-c', exec, ...command], { env: settingsOf(s3) });
  const saidS = Number(said.trim().split('\n').at(-1) || Number.NaN);
  return { ...(JSON.parse(await readFile(file, 'utf8')) as Usage), ...(Number.isNaN(saidS) ? {} : { saidS }) };
}

/** A task of peers.py. */
export async function usageOfPeer(tools: Tools, folder: string, spec: Readonly<Record<string, unknown>>, s3: S3Place): Promise<Usage> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'spec.json');
  await writeFile(file, JSON.stringify({ ...spec, s3 }));
  try {
    return await usageOf(tools, folder, [tools.python, join(here, 'peers.py'), file], s3);
  } finally {
    await rm(file);
  }
}

/** Names and keys as aws-cli and rclone take them. */
const settingsOf = (s3: S3Place): Readonly<Record<string, string>> => ({
  AWS_ACCESS_KEY_ID: s3.accessKey,
  AWS_SECRET_ACCESS_KEY: s3.secretKey,
  AWS_DEFAULT_REGION: s3.region,
  AWS_REQUEST_CHECKSUM_CALCULATION: 'when_required',
  AWS_RESPONSE_CHECKSUM_VALIDATION: 'when_required',
  RCLONE_CONFIG_BENCH_TYPE: 's3',
  RCLONE_CONFIG_BENCH_PROVIDER: 'Ceph',
  RCLONE_CONFIG_BENCH_ENDPOINT: s3.endpoint,
  RCLONE_CONFIG_BENCH_REGION: s3.region,
  RCLONE_CONFIG_BENCH_ACCESS_KEY_ID: s3.accessKey,
  RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY: s3.secretKey,
  RCLONE_S3_NO_CHECK_BUCKET: 'true',
});

export const best = (runs: readonly Usage[], figure: 'wallS' | 'cpuS'): number => median(runs.map((run) => run[figure]));

export function line(name: string, runs: readonly Usage[], bytes: number): string {
  const wall = best(runs, 'wallS');
  const peak = Math.max(...runs.map(({ peakMiB }) => peakMiB));
  return `${name.padEnd(28)} ${wall.toFixed(2).padStart(7)} s  ${(bytes / wall / 1e6).toFixed(0).padStart(5)} MB/s  ${best(runs, 'cpuS').toFixed(2).padStart(7)} CPU s  ${peak.toFixed(0).padStart(6)} MiB`;
}
