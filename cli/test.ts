import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { Option } from 'commander';
import { cephProvisioner } from '../infra/ceph/programs.ts';
import { canRunCeph } from '../infra/ceph/requirements.ts';
import { clusterProvisioners, kueueProvisioner, kwokProvisioner } from '../infra/cluster/binaries.ts';
import { canRunCluster } from '../infra/cluster/requirements.ts';
import { trainerImageProvisioner } from '../infra/images/trainer-image.ts';
import { demoDataProvisioner } from '../infra/local/demo-data.ts';
import { engineProvisioners, trainerProvisioners } from '../infra/local/provisioners.ts';
import { provisionAll } from '../infra/local/provision.ts';
import { projectDir, resolvePaths } from '../platform/paths.ts';
import { CommandError, type RegisterCommand } from './command.ts';

type TestFile = {
  readonly name: string;
  readonly startTime: number;
  readonly endTime: number;
  readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
};
type Report = {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly success: boolean;
  readonly testResults: readonly TestFile[];
};

/** Two rows of tests run beside each other, each file with engines and ports of its own: they wait more than they compute. The output of the second follows. */
const rows = [
  ['chaos', 'cluster'],
  ['unit', 'wf', 'it'],
] as const;
const slowestShown = 10;

export const registerTest: RegisterCommand = (program) => {
  program
    .command('test')
    .description('run every test on the real engines')
    .argument('[filters...]', 'only test files whose path contains one of these')
    .addOption(new Option('--project <name...>', 'only these kinds of tests').choices(rows.flat()))
    .action(async (filters: string[], options: { project?: string[] }) => {
      const noCluster = canRunCluster();
      if (noCluster !== null) console.log(`tests on a Kubernetes cluster are left out: ${noCluster}`);
      const noCeph = canRunCeph();
      if (noCeph !== null) console.log(`tests on Ceph are left out: ${noCeph}`);
      const [kubernetes, ...others] = clusterProvisioners;
      // What compiles longest first.
      const ofCluster = noCluster === null && kubernetes ? [kubernetes, kueueProvisioner, kwokProvisioner, ...others] : [];
      await provisionAll(
        [
          ...ofCluster,
          ...engineProvisioners,
          ...(noCeph === null ? [cephProvisioner] : []),
          ...trainerProvisioners,
          demoDataProvisioner,
          ...(noCluster === null ? [trainerImageProvisioner] : []),
        ],
        resolvePaths(process.env),
        new AbortController().signal,
        process.stdout.isTTY,
      );
      const groups = rows
        .map((names) => names.filter((name) => options.project?.includes(name) ?? true))
        .filter((names) => names.length > 0);
      const folder = await mkdtemp(join(tmpdir(), 'mw-test-'));
      try {
        const ended = await Promise.all(groups.map((names, i) => runTests(join(folder, String(i)), names, filters, i > 0)));
        const reports = ended.filter((report) => report !== null);
        if (reports.length < ended.length) throw new CommandError('the test runner ended without a report');
        const sum = (of: (report: Report) => number): number => reports.reduce((total, report) => total + of(report), 0);
        const files = reports.flatMap(({ testResults }) => testResults);
        tellSlowest(files);
        tellFailed(files);
        const [passed, failed, skipped] = [
          sum(({ numPassedTests }) => numPassedTests),
          sum(({ numFailedTests }) => numFailedTests),
          sum(({ numPendingTests }) => numPendingTests),
        ];
        console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
        if (reports.some(({ success }) => !success) || passed === 0) process.exitCode = 1;
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });
};

/** One run of the test runner; null: it left no report. `held`: what it prints follows when it has ended. */
async function runTests(folder: string, names: readonly string[], filters: readonly string[], held: boolean): Promise<Report | null> {
  await mkdir(folder);
  const [output, log] = [join(folder, 'report.json'), join(folder, 'log')];
  const args = [
    join(projectDir, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--passWithNoTests',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${output}`,
    ...names.flatMap((name) => ['--project', name]),
    ...filters,
  ];
  const told = held ? await open(log, 'w') : null;
  const to = told?.fd ?? 'inherit';
  const child = spawn(process.execPath, args, { cwd: projectDir, stdio: ['ignore', to, to] });
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  await told?.close();
  if (held) process.stdout.write(await readFile(log));
  const report = JSON.parse(await readFile(output, 'utf8').catch(() => 'null')) as Report | null;
  return report && { ...report, success: report.success && status === 0 };
}

function tellFailed(files: readonly TestFile[]): void {
  for (const { name, assertionResults } of files)
    for (const { fullName, status } of assertionResults)
      if (status === 'failed') console.log(`failed: ${relative(projectDir, name)}: ${fullName}`);
}

function tellSlowest(files: readonly TestFile[]): void {
  const took = ({ startTime, endTime }: TestFile): number => Math.round((endTime - startTime) / 1_000);
  const slowest = [...files].sort((a, b) => took(b) - took(a)).slice(0, slowestShown);
  if (files.length > slowestShown)
    console.log(`slowest: ${slowest.map((file) => `${relative(projectDir, file.name)} ${took(file)} s`).join(', ')}`);
}
