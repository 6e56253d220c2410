import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { clusterHome, clusterPlace } from '../infra/cluster/place.ts';
import { stopCluster } from '../infra/cluster/stop.ts';
import { stopSupervisor } from '../infra/local/supervisor.ts';
import { resolvePaths } from '../platform/paths.ts';
import { CommandError, type RegisterCommand } from './command.ts';

export const registerReset: RegisterCommand = (program) => {
  program
    .command('reset')
    .description('stop everything and delete all data of this installation (the cache stays)')
    .option('--yes', 'really delete')
    .action(async (options: { yes?: boolean }) => {
      const paths = resolvePaths(process.env);
      const { home } = paths;
      if (!options.yes) throw new CommandError(`this deletes every tenant, example and model in ${home}: say \`./mw reset --yes\``);
      await stopSupervisor(paths);
      if (existsSync(clusterHome(paths))) await stopCluster(clusterPlace(clusterHome(paths)));
      await rm(home, { recursive: true, force: true });
      console.log(`deleted ${home}`);
    });
};
