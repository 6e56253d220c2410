import { lookup } from 'node:dns/promises';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { type ManifestOptions, clusterManifests } from '../activities/kubernetes/manifests.ts';
import { parseSettings } from '../platform/config.ts';
import { CommandError, wholeNumber } from './command.ts';

type Options = {
  readonly s3?: string;
  readonly gpus?: number;
  readonly cpu?: string;
  readonly memory?: string;
  readonly kueue?: boolean;
};

/** Address or CIDR, and port, at which jobs reach S3. */
export async function s3Target(text: string): Promise<ManifestOptions['s3']> {
  const url = URL.canParse(text) && /^https?:/.test(text) ? new URL(text) : null;
  if (url) {
    const { address } = await lookup(url.hostname).catch(() => {
      throw new CommandError(
        `${url.hostname} has no address here: give the addresses of S3 as a CIDR and a port, such as --s3 10.0.4.0/24:443`,
      );
    });
    return { cidr: address, port: Number(url.port || (url.protocol === 'https:' ? 443 : 80)) };
  }
  const [, cidr, port] = /^([0-9a-fA-F.:]+(?:\/\d+)?):(\d+)$/.exec(text) ?? [];
  if (cidr === undefined)
    throw new CommandError(`${text} is no place of S3: give a URL, or addresses as a CIDR and a port, such as 10.0.4.0/24:443`);
  return { cidr, port: Number(port) };
}

/** What `mw cluster manifests` prints: `kubectl apply -f -` takes it, as often as one likes. */
export async function manifestsText(namespace: string, target: string, options: Omit<Options, 's3'>): Promise<string> {
  const { gpus, cpu, memory, kueue = false } = options;
  if (kueue && (gpus === undefined || cpu === undefined || memory === undefined))
    throw new CommandError('with --kueue give what it shares among the tenants: --gpus, --cpu and --memory');
  const manifests = clusterManifests({
    namespace,
    s3: await s3Target(target),
    // Kueue keeps to its own quota: a second one would only refuse what the first let through.
    quota: kueue ? { gpus: null, cpu: null, memory: null } : { gpus: gpus ?? null, cpu: cpu ?? null, memory: memory ?? null },
    kueue: kueue ? { clusterQueue: 'modelwright', gpus: gpus ?? 0, cpu: cpu ?? '0', memory: memory ?? '0' } : null,
  });
  return manifests.map((manifest) => stringify(manifest)).join('---\n');
}

export function registerClusterManifests(cluster: Command): void {
  cluster
    .command('manifests')
    .description('print what an operator applies to a cluster before it trains: namespace, roles, network policy, quota, queue')
    .option('--s3 <place>', 'where jobs reach S3, a URL or CIDR:PORT (default: MW_S3_JOBS_ENDPOINT)')
    .option('--gpus <n>', 'GPUs that all trainings together may take', wholeNumber)
    .option('--cpu <quantity>', 'CPUs that all trainings together may take')
    .option('--memory <quantity>', 'memory that all trainings together may take')
    .option('--kueue', 'let Kueue admit the jobs and share those among the tenants, instead of a quota of the namespace')
    .action(async ({ s3, ...options }: Options) => {
      const settings = parseSettings(process.env);
      const target = s3 ?? settings.MW_S3_JOBS_ENDPOINT;
      if (target === undefined) throw new CommandError('say where jobs reach S3: --s3, or MW_S3_JOBS_ENDPOINT');
      process.stdout.write(await manifestsText(settings.MW_JOB_NAMESPACE, target, options));
    });
}
