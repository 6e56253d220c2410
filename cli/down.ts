import { stopSupervisor } from '../infra/local/supervisor.ts';
import { resolvePaths } from '../platform/paths.ts';
import type { RegisterCommand } from './command.ts';

export const registerDown: RegisterCommand = (program) => {
  program
    .command('down')
    .description('stop everything; data stays')
    .action(async () => {
      console.log((await stopSupervisor(resolvePaths(process.env))) ? 'stopped' : 'nothing was running');
    });
};
