import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

type Report = {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly success: boolean;
};

export const registerTest: RegisterCommand = (program) => {
  program
    .command('test')
    .description('run every test on the real engines')
    .argument('[filters...]', 'only test files whose path contains one of these')
    .option('--project <name...>', 'unit, wf, it or chaos (default: all)')
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
      const folder = await mkdtemp(join(tmpdir(), 'mw-test-'));
      try {
        const output = join(folder, 'report.json');
        const args = [
          join(projectDir, 'node_modules/vitest/vitest.mjs'),
          'run',
          '--reporter=default',
          '--reporter=json',
          `--outputFile.json=${output}`,
          ...(options.project ?? []).flatMap((name) => ['--project', name]),
          ...filters,
        ];
        const child = spawn(process.execPath, args, { cwd: projectDir, stdio: ['ignore', 'inherit', 'inherit'] });
        const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
        const report = JSON.parse(await readFile(output, 'utf8').catch(() => 'null')) as Report | null;
        if (!report) throw new CommandError('the test runner ended without a report');
        console.log(
          `${report.numPassedTests} passed, ${report.numFailedTests} failed${report.numPendingTests > 0 ? `, ${report.numPendingTests} skipped` : ''}`,
        );
        if (status !== 0 || !report.success || report.numPassedTests === 0) process.exitCode = 1;
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });
};
