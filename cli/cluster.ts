import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { clusterProvisioners, kueueProvisioner } from '../infra/cluster/binaries.ts';
import { type Cluster, runningCluster, startCluster } from '../infra/cluster/cluster.ts';
import { daemonStates } from '../infra/cluster/daemon.ts';
import { type ClusterPlace, clusterHome, clusterPlace } from '../infra/cluster/place.ts';
import { clusterProblems } from '../infra/cluster/requirements.ts';
import { MachineProblems } from '../infra/local/machine-problems.ts';
import { readClusterState } from '../infra/cluster/state.ts';
import { stopCluster } from '../infra/cluster/stop.ts';
import { trainerImageName, trainerImageProvisioner } from '../infra/images/trainer-image.ts';
import { holdingLock } from '../infra/local/cache-entry.ts';
import { trainerProvisioners } from '../infra/local/provisioners.ts';
import { provisionAll } from '../infra/local/provision.ts';
import { parseSettings } from '../platform/config.ts';
import { type Paths, resolvePaths } from '../platform/paths.ts';
import { manifestsText, registerClusterManifests } from './cluster-manifests.ts';
import { CommandError, type RegisterCommand, printJson, wholeNumber } from './command.ts';
import { stoppable } from './stoppable.ts';

type UpOptions = { readonly nodes: number; readonly gpus: number; readonly kueue?: boolean; readonly image: boolean };

const nothingThere = 'there was no cluster';
/** Of what the trainings of one machine may take in all: Kueue counts it, and it is not what limits them here. */
const plenty = { cpu: '64', memory: '256Gi' } as const;

export type DevelopmentCluster = {
  readonly cluster: Cluster;
  /** Settings with which the platform trains on it. */
  readonly settings: Readonly<Record<string, string>>;
};

/** Provisions what is missing and starts the development cluster, ready for trainings: images, S3 within reach, namespace, roles and queue. */
export async function bringUpCluster(options: UpOptions, signal: AbortSignal): Promise<DevelopmentCluster> {
  const settings = parseSettings(process.env);
  const paths = resolvePaths(process.env);
  const problems = clusterProblems();
  if (problems.length > 0) throw new MachineProblems(problems);
  const { nodes, gpus, kueue = false, image } = options;
  const wanted = [
    ...clusterProvisioners,
    ...(kueue ? [kueueProvisioner] : []),
    ...(image ? [...trainerProvisioners, trainerImageProvisioner] : []),
  ];
  await provisionAll(wanted, paths, signal, process.stdout.isTTY);
  const report = (line: string): void => console.log(`  ${line}`);
  const cluster = await startCluster({ home: clusterHome(paths), paths, nodes, gpusPerNode: gpus, kueue, trainer: image, report, signal });
  const s3 = `http://${await cluster.forwardFromPods(settings.MW_S3_PORT)}`;
  await applyText(cluster, await manifestsText(settings.MW_JOB_NAMESPACE, s3, kueue ? { kueue, gpus: nodes * gpus, ...plenty } : {}));
  return { cluster, settings: settingsOf(paths, cluster, s3, image) };
}

const settingsOf = (paths: Paths, { kubeconfig }: Cluster, s3: string, image: boolean): Readonly<Record<string, string>> => ({
  MW_EXECUTOR: 'kubernetes',
  MW_KUBECONFIG: kubeconfig,
  ...(image ? { MW_JOB_IMAGE: trainerImageName(paths) } : {}),
  MW_S3_JOBS_ENDPOINT: s3,
});

/** Gives a cluster what `kubectl apply` takes. */
export async function applyText({ kubectl, kubeconfig }: Pick<Cluster, 'kubectl' | 'kubeconfig'>, manifests: string): Promise<void> {
  const child = spawn(kubectl, ['--kubeconfig', kubeconfig, 'apply', '-f', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (part: Buffer) => (said += part.toString('utf8')));
  child.stdin.on('error', () => undefined);
  child.stdin.end(manifests);
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  if (status !== 0) throw new CommandError(`the cluster refused what trainings need:\n  ${said.trim()}`);
}

/** As `mw cluster status` prints it. */
function statusOf(place: ClusterPlace, paths: Paths) {
  const state = readClusterState(place);
  const processes = daemonStates(place);
  const whole = runningCluster(place.home, paths) !== null;
  return {
    phase: state === null ? 'down' : whole ? 'running' : state.phase === 'starting' ? 'starting' : 'broken',
    ...state?.shape,
    processes,
  };
}

const up = (options: UpOptions): Promise<void> =>
  stoppable('stopped: nothing is left of the cluster', async (signal) => {
    const { cluster, settings } = await bringUpCluster(options, signal);
    console.log(`The cluster is ready. Trainings run on it with\n`);
    for (const [name, value] of Object.entries(settings)) console.log(`export ${name}=${value}`);
    console.log(`\nA client of its version: ${cluster.kubectl} --kubeconfig ${cluster.kubeconfig}`);
  });

export const registerCluster: RegisterCommand = (program) => {
  const cluster = program.command('cluster').description('a real Kubernetes on this machine, for a look and for tests (Linux, as root)');
  cluster
    .command('up')
    .description('provision and start it; again, it only says how to use it')
    .option('--nodes <n>', 'nodes', wholeNumber, 2)
    .option('--gpus <n>', 'simulated GPUs of each node', wholeNumber, 2)
    .option('--kueue', 'with Kueue, which shares the GPUs among tenants')
    .option('--no-image', 'without the trainer image')
    .action(up);
  cluster
    .command('down')
    .description('stop it and delete all of it (the cache stays)')
    .action(async () => {
      const paths = resolvePaths(process.env);
      const place = clusterPlace(clusterHome(paths));
      if (!existsSync(paths.home)) return console.log(nothingThere);
      const waiting = { report: (line: string) => console.log(line), signal: new AbortController().signal };
      console.log((await holdingLock(place.lock, waiting, () => stopCluster(place))) ? 'the cluster is gone' : nothingThere);
    });
  cluster
    .command('status')
    .description('what of it runs')
    .option('--json', 'print one JSON document')
    .action((options: { json?: boolean }) => {
      const paths = resolvePaths(process.env);
      const status = statusOf(clusterPlace(clusterHome(paths)), paths);
      if (options.json) printJson(status);
      else if (status.phase === 'down') console.log('there is no cluster: start it with `./mw cluster up`');
      else {
        console.log(`the cluster is ${status.phase}${status.phase === 'running' ? '' : ': `./mw cluster up` makes it anew'}`);
        for (const { name, pid, state } of status.processes) console.log(`${name.padEnd(22)} ${state.padEnd(8)} ${pid}`);
      }
      if (status.phase !== 'running') process.exitCode = 1;
    });
  registerClusterManifests(cluster);
};
