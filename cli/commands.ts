import type { RegisterCommand } from './command.ts';
import { registerConfig } from './config.ts';
import { registerDoctor } from './doctor.ts';
import { registerDown } from './down.ts';
import { registerLogs } from './logs.ts';
import { registerReset } from './reset.ts';
import { registerStatus } from './status.ts';
import { registerTest } from './test.ts';
import { registerUp } from './up.ts';

/** Every command, in the order of `mw --help`. */
export const commands: readonly RegisterCommand[] = [
  registerUp,
  registerDown,
  registerStatus,
  registerLogs,
  registerDoctor,
  registerReset,
  registerConfig,
  registerTest,
];
