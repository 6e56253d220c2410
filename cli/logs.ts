import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { resolvePaths } from '../platform/paths.ts';
import { CommandError, type RegisterCommand } from './command.ts';

export const registerLogs: RegisterCommand = (program) => {
  program
    .command('logs')
    .argument('<name>', 'a process of `mw status`, or supervisor')
    .description('print the log of a process')
    .option('-f, --follow', 'go on as it grows')
    .option('-n, --lines <count>', 'how many of the last lines', '50')
    .action(async (name: string, options: { follow?: boolean; lines: string }) => {
      const file = resolvePaths(process.env).logFile(name);
      if (!/^[a-z0-9-]+$/.test(name) || !existsSync(file)) {
        const folder = dirname(resolvePaths(process.env).logFile('x'));
        const names = existsSync(folder)
          ? readdirSync(folder)
              .filter((entry) => entry.endsWith('.log'))
              .map((entry) => entry.slice(0, -4))
          : [];
        throw new CommandError(`there is no log of ${name}; there are: ${names.join(', ') || 'none yet'}`);
      }
      if (!/^[0-9]+$/.test(options.lines)) throw new CommandError('--lines takes a number');
      const child = spawn('tail', ['-n', options.lines, ...(options.follow ? ['-F'] : []), file], { stdio: 'inherit' });
      await new Promise<void>((resolve) => child.once('close', () => resolve()));
    });
};
