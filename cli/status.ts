import { readState } from '../infra/local/supervisor-state.ts';
import { nowMs } from '../platform/clock.ts';
import { loadConfig } from '../platform/config.ts';
import { resolvePaths } from '../platform/paths.ts';
import { printJson, type RegisterCommand } from './command.ts';
import { openForgettingLines, readForgettings } from './forgettings-lines.ts';
import { lagTable, readLag } from './lag-table.ts';
import { readSensing, sensingLines } from './sensing-table.ts';

const seconds = (since: string): string => `${Math.max(0, Math.round((nowMs() - Date.parse(since)) / 1000))} s`;

export const registerStatus: RegisterCommand = (program) => {
  program
    .command('status')
    .description('what runs, since when, and how often it was restarted')
    .option('--json', 'print one JSON document')
    .action(async (options: { json?: boolean }) => {
      const read = readState(resolvePaths(process.env));
      const up = read?.alive ?? false;
      const phase = up ? read?.state.phase : 'down';
      const processes = up ? (read?.state.processes ?? []) : [];
      const lag = up ? await readLag() : null;
      const forgettings = up ? await readForgettings(loadConfig()) : null;
      const sensing = up ? await readSensing(loadConfig()) : null;
      if (options.json) printJson({ phase, processes, lag, forgettings, sensing });
      else if (!up) console.log('nothing is running: start it with `./mw up`');
      else {
        console.log('process           state      pid       for        restarts');
        for (const { name, state, pid, since, restarts } of processes) {
          console.log(`${name.padEnd(17)} ${state.padEnd(10)} ${String(pid ?? '-').padEnd(9)} ${seconds(since).padEnd(10)} ${restarts}`);
        }
        if (lag && lag.length > 0) console.log(`\n${lagTable(lag)}`);
        const forgetting = openForgettingLines(forgettings);
        if (forgetting.length > 0) console.log(`\n${forgetting.join('\n')}`);
        console.log(`\n${sensingLines(sensing).join('\n')}`);
      }
      if (!up || processes.some(({ state }) => state !== 'running')) process.exitCode = 1;
    });
};
