import { engineProvisioners, trainerProvisioners } from '../infra/local/provisioners.ts';
import { provisionAll } from '../infra/local/provision.ts';
import { ensureSecrets } from '../infra/local/secrets.ts';
import { startSupervisor } from '../infra/local/supervisor.ts';
import { parseSettings } from '../platform/config.ts';
import { resolvePaths } from '../platform/paths.ts';
import type { RegisterCommand } from './command.ts';

/** Provisions what is missing and starts what does not run; an aborted signal ends the waiting, not what has been started. */
export async function bringUp(enginesOnly: boolean, signal: AbortSignal = new AbortController().signal): Promise<void> {
  const settings = parseSettings(process.env);
  const paths = resolvePaths(process.env);
  const live = process.stdout.isTTY;
  await provisionAll(enginesOnly ? engineProvisioners : [...engineProvisioners, ...trainerProvisioners], paths, signal, live);
  const secrets = await ensureSecrets(paths);
  signal.throwIfAborted();
  const told = new Set<string>();
  await startSupervisor(paths, enginesOnly, signal, (state) => {
    for (const { name, pid, state: now } of state.processes) {
      if (now !== 'running' || told.has(name)) continue;
      told.add(name);
      console.log(`  ${name} is ready (pid ${pid})`);
    }
  });
  if (!enginesOnly) console.log(`API           http://127.0.0.1:${settings.MW_API_PORT}  (reference: /docs)`);
  console.log(`Temporal UI   http://127.0.0.1:${settings.MW_TEMPORAL_UI_PORT}`);
  console.log(`Operator key  ${secrets.operatorKey}  (also in ${paths.operatorKeyFile})`);
}

export const registerUp: RegisterCommand = (program) => {
  program
    .command('up')
    .description('provision and start everything in the background')
    .option('--engines-only', 'start MySQL, Kafka, Connect, Temporal and S3, and none of our own processes')
    .action(async (options: { enginesOnly?: boolean }) => await bringUp(options.enginesOnly ?? false));
};
