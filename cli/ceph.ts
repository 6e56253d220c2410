import { existsSync } from 'node:fs';
import { InvalidArgumentError } from 'commander';
import { runningCeph, startCeph } from '../infra/ceph/ceph.ts';
import { type CephPlace, cephHome, cephPlace } from '../infra/ceph/place.ts';
import { cephProvisioner } from '../infra/ceph/programs.ts';
import { cephProblems } from '../infra/ceph/requirements.ts';
import { readCephState } from '../infra/ceph/state.ts';
import { stopCeph } from '../infra/ceph/stop.ts';
import { daemonStates } from '../infra/cluster/daemon.ts';
import { holdingLock } from '../infra/local/cache-entry.ts';
import { MachineProblems } from '../infra/local/machine-problems.ts';
import { provisionAll } from '../infra/local/provision.ts';
import { type Paths, resolvePaths } from '../platform/paths.ts';
import { type RegisterCommand, printJson } from './command.ts';
import { stoppable } from './stoppable.ts';

const nothingThere = 'there was no Ceph';

function oneOrThree(text: string): 1 | 3 {
  if (text !== '1' && text !== '3') throw new InvalidArgumentError('must be 1, or 3 for an erasure-coded pool');
  return text === '1' ? 1 : 3;
}

const up = ({ osds }: { readonly osds: 1 | 3 }): Promise<void> =>
  stoppable('stopped: `./mw ceph up` goes on or makes it anew, `./mw ceph down` removes it', async (signal) => {
    const paths = resolvePaths(process.env);
    const problems = cephProblems();
    if (problems.length > 0) throw new MachineProblems(problems);
    await provisionAll([cephProvisioner], paths, signal, process.stdout.isTTY);
    const report = (line: string): void => console.log(`  ${line}`);
    const { s3 } = await startCeph({ home: cephHome(paths), paths, osds, report, signal });
    const { settingsFile } = cephPlace(cephHome(paths));
    console.log(`Ceph is ready: S3 on ${s3.endpoint}, bucket ${s3.bucket}. Use it with\n\n. ${settingsFile}\n`);
    console.log('which sets MW_S3_ENDPOINT, MW_S3_REGION, MW_S3_BUCKET, MW_S3_ACCESS_KEY and MW_S3_SECRET_KEY');
  });

/** As `mw ceph status` prints it. */
async function statusOf(place: CephPlace, paths: Paths) {
  const state = readCephState(place);
  const processes = daemonStates(place);
  const ceph = await runningCeph(place.home, paths);
  return {
    phase: state === null ? 'down' : ceph !== null ? 'running' : state.phase === 'starting' ? 'starting' : 'broken',
    ...state?.shape,
    ...(ceph === null ? {} : { endpoint: ceph.s3.endpoint, bucket: ceph.s3.bucket, settings: place.settingsFile }),
    processes,
  };
}

export const registerCeph: RegisterCommand = (program) => {
  const ceph = program.command('ceph').description('a real Ceph with its S3 gateway on this machine, for a look and for tests (Linux)');
  ceph
    .command('up')
    .description('provision and start it; again, it starts what has ended and says how to use it')
    .option('--osds <n>', '1, or 3 with an erasure-coded pool that bears the loss of one', oneOrThree, 1)
    .action(up);
  ceph
    .command('down')
    .description('stop it and delete all of it, with all that it stores (the cache stays)')
    .action(async () => {
      const paths = resolvePaths(process.env);
      const place = cephPlace(cephHome(paths));
      if (!existsSync(paths.home)) return console.log(nothingThere);
      const waiting = { report: (line: string) => console.log(line), signal: new AbortController().signal };
      console.log((await holdingLock(place.lock, waiting, () => stopCeph(place))) ? 'Ceph is gone' : nothingThere);
    });
  ceph
    .command('status')
    .description('what of it runs')
    .option('--json', 'print one JSON document')
    .action(async (options: { json?: boolean }) => {
      const paths = resolvePaths(process.env);
      const status = await statusOf(cephPlace(cephHome(paths)), paths);
      if (options.json) printJson(status);
      else if (status.phase === 'down') console.log('there is no Ceph: start it with `./mw ceph up`');
      else {
        console.log(`Ceph is ${status.phase}${status.phase === 'running' ? '' : ': `./mw ceph up` starts what is missing'}`);
        if (status.endpoint !== undefined) console.log(`S3 on ${status.endpoint}: . ${status.settings}`);
        for (const { name, pid, state } of status.processes) console.log(`${name.padEnd(22)} ${state.padEnd(8)} ${pid}`);
      }
      if (status.phase !== 'running') process.exitCode = 1;
    });
};
