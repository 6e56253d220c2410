import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createTemporalClient } from '../../platform/temporal.ts';
import { createPool } from '../../platform/mysql.ts';
import { startTestStack } from '../../test/support/engines.ts';
import { quietTemporal } from '../../test/support/workflow-fixture.ts';
import { FakePlatform } from '../../test/support/fake-platform.ts';
import { judge, median, percentile } from '../support/figures.ts';
import { cpuMicroseconds, residentBytes } from '../support/process-usage.ts';
import { createRate } from './create-rate.ts';
import { type Observed, observe, openConnections } from './job-observer.ts';
import type { Seen } from './measured-executor.ts';
import { startPlatformWorkers, trainAll } from './platform-workers.ts';
import { clusterAt } from './scene.ts';
import { simulatedCluster } from './simulated-cluster.ts';

// Thousands of trainings through the real workflows, the real `train` activity, the real executor and a real Kubernetes control plane with simulated
// nodes: `npm run bench:kubernetes -- [--trainings 2000] [--tenants 200] [--nodes 500] [--slots 2000] [--rounds 3] [--kubeconfig FILE]`.
// Simulated pods run 20 to 40 s, compute nothing and cannot write to S3: what they would leave there is a stand-in (test/support/simulated-store.ts), and
// datasets, gate, shards and versions are a table in memory (test/support/fake-platform.ts). MySQL and Temporal are real.

const { values } = parseArgs({
  options: {
    trainings: { type: 'string', default: '2000' },
    tenants: { type: 'string', default: '200' },
    nodes: { type: 'string', default: '500' },
    slots: { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '3' },
    kubeconfig: { type: 'string' },
    profile: { type: 'string' },
  },
});
const trainings = Number(values.trainings);
const tenants = Math.min(trainings, Number(values.tenants));
const jobsARound = 100;
const sampleEveryMs = 1_000;
const connectionsEveryMs = 10_000;
/** What ended runs leave on the cluster is gone after this. */
const freedWithinMs = 120_000;

type Sample = { readonly cpuUs: number; readonly rss: number; readonly running: number };
const samples: Sample[] = [];
const connections: { watches: number; logs: number }[] = [];

const folder = await mkdtemp(join(tmpdir(), 'mw-bench-kubernetes-'));
const simulated = await simulatedCluster(folder, Number(values.nodes), values.kubeconfig);
const admin = clusterAt(simulated.adminKubeconfig);
const stack = await startTestStack({ engines: ['mysql', 'temporal'] });
const temporal = createTemporalClient(stack.config);
const pool = createPool(stack.config, { connectionLimit: 2 });
const platform = new FakePlatform();
const stops: (() => Promise<void> | void)[] = [];
try {
  const trainerFile = join(folder, 'trainer.py');
  await writeFile(trainerFile, '');
  const rates = await createRate(clusterAt(simulated.workerKubeconfig), admin, Number(values.rounds), jobsARound, trainerFile);

  const observed = await observe(admin);
  stops.push(() => observed.close());
  quietTemporal();
  stops.push(await startPlatformWorkers(stack.config, platform));
  const figures = join(folder, 'figures.json');
  const worker = startTrainingWorker(simulated.workerKubeconfig, figures);
  stops.push(async () => await endWorker(worker));
  const pid = worker.pid ?? 0;
  await sleep(8_000);
  const idle = { cpuUs: cpuMicroseconds(pid), rss: residentBytes(pid) };
  const sampling = setInterval(() => {
    if (worker.exitCode !== null) return;
    samples.push({ cpuUs: cpuMicroseconds(pid), rss: residentBytes(pid), running: observed.runningNow() });
  }, sampleEveryMs);
  const looking = setInterval(
    () =>
      void openConnections(admin, observed).then(
        (one) => connections.push(one),
        () => undefined,
      ),
    connectionsEveryMs,
  );
  const startedAt = performance.now();
  const outcomes = await trainAll(temporal.client, pool, platform, trainings, tenants);
  const tookMs = performance.now() - startedAt;
  const freeBy = performance.now() + freedWithinMs;
  while (observed.openNow() > 0 && performance.now() < freeBy) await sleep(200);
  clearInterval(sampling);
  clearInterval(looking);
  const used = { cpuUs: cpuMicroseconds(pid) - idle.cpuUs };
  await endWorker(worker);
  const seen = JSON.parse(await readFile(figures, 'utf8')) as Seen;

  report(rates, seen, observed, tookMs, used.cpuUs, idle.rss);
  const lost = outcomes.filter(({ state }) => state !== 'succeeded');
  for (const { state, reason } of lost.slice(0, 5)) console.log(`  ${state}: ${reason}`);
  const { doubled, twice } = doubles(observed);
  const share = median(rates.executor) / median(rates.bare);
  const watches = new Set(connections.map((one) => one.watches));
  judge([
    { what: `nothing was lost: ${trainings - lost.length} of ${trainings} trainings have their model`, holds: lost.length === 0 },
    {
      what: `nothing was doubled: ${doubled} Jobs made twice, ${twice} runs trained twice`,
      holds: doubled + twice === 0 && observed.whole(),
    },
  ]);
  for (const [what, holds] of [
    [`no Job goes on whose run has ended: ${observed.openNow()}`, observed.openNow() === 0],
    [`at least 80 % of the Jobs of a bare loop: ${Math.round(share * 100)} %`, share >= 0.8],
    [`status within a second (p99): ${Math.round(percentile(seen.running, 0.99))} ms`, percentile(seen.running, 0.99) <= 1_000],
    [`two watches, however many Jobs: ${[...watches].join(', ')}`, watches.size === 1 && watches.has(2)],
  ] as const)
    console.log(`${holds ? 'reached' : 'MISSED'}: ${what}`);
} finally {
  for (const stop of stops.reverse()) await stop();
  await pool.end();
  await temporal.close();
  await stack.remove();
  await simulated.stop();
  await rm(folder, { recursive: true, force: true });
}

function startTrainingWorker(kubeconfig: string, figures: string): ChildProcess {
  const profile = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`];
  return spawn(process.execPath, [...profile, join(import.meta.dirname, 'training-worker.ts'), kubeconfig, values.slots, figures], {
    env: stack.env,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}

async function endWorker(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  worker.kill('SIGTERM');
  await once(worker, 'exit');
}

/** Jobs that were made anew under a name that had been used, and runs of which more than one pod ended well. */
function doubles({ jobs, ends }: Observed): { readonly doubled: number; readonly twice: number } {
  const well = [...ends.values()].filter(({ end }) => end === 'Completed').map(({ job }) => job);
  return { doubled: [...jobs.values()].filter((uids) => uids.size > 1).length, twice: well.length - new Set(well).size };
}

function report(
  rates: Awaited<ReturnType<typeof createRate>>,
  seen: Seen,
  { jobs, ends }: Observed,
  tookMs: number,
  cpuUs: number,
  idleRss: number,
): void {
  const row = (what: string, figure: string): void => console.log(`| ${what} | ${figure} |`);
  const ms = (figures: readonly number[]): string =>
    `p50 ${Math.round(percentile(figures, 0.5))} ms, p99 ${Math.round(percentile(figures, 0.99))} ms (${figures.length} seen)`;
  const rate = (figures: readonly number[]): string => `${median(figures).toFixed(0)} (${figures.map((one) => one.toFixed(0)).join(', ')})`;
  const peak = samples.reduce((most, one) => (one.running > most.running ? one : most), { cpuUs: 0, rss: 0, running: 0 });
  const byEnd = Map.groupBy(ends.values(), ({ end }) => end);
  const runningSeconds = (samples.reduce((all, { running }) => all + running, 0) * sampleEveryMs) / 1_000;
  console.log(`\n| ${trainings} trainings of ${tenants} tenants, ${values.nodes} nodes x 8 GPUs, ${values.slots} slots | |\n|---|---|`);
  row('Jobs/s, bare loop', rate(rates.bare));
  row('Jobs/s, bare loop that makes a specification (Secret) for each', rate(rates.withSecret));
  row('Jobs/s, executor', `${rate(rates.executor)}: ${Math.round((median(rates.executor) / median(rates.bare)) * 100)} % of the bare loop`);
  row('pod runs -> progress says so', ms(seen.running));
  row('pod ended -> the run is told (Job controller included)', ms(seen.ended));
  row('all trainings', `${(tookMs / 1_000).toFixed(0)} s, ${(trainings / (tookMs / 1_000)).toFixed(1)} a second`);
  row('Jobs, and how their pods ended', `${jobs.size}; ${[...byEnd].map(([end, some]) => `${some.length} ${end}`).join(', ')}`);
  row('running at once, at most', String(peak.running));
  row('worker: CPU of a training', `${(cpuUs / 1_000 / trainings).toFixed(1)} ms`);
  row('worker: CPU of a running Job', `${(cpuUs / 1_000 / Math.max(1, runningSeconds)).toFixed(2)} ms a second`);
  row(
    'worker: memory',
    `${Math.round(idleRss / 2 ** 20)} MiB idle, ${Math.round(Math.max(...samples.map(({ rss }) => rss)) / 2 ** 20)} MiB at most`,
  );
  row('worker: memory of a running Job', `${Math.round((peak.rss - idleRss) / 1_024 / Math.max(1, peak.running))} KiB`);
  row('worker: watches', [...new Set(connections.map(({ watches }) => watches))].join(', '));
  row('worker: logs followed at once, at most', String(Math.max(0, ...connections.map(({ logs }) => logs))));
  row('worker: progress told', `${seen.told} times for ${seen.followed} attempts`);
}
