import { Listr } from 'listr2';
import type { Paths } from '../../platform/paths.ts';
import type { Provisioner } from './provision-context.ts';

/** Two cores compile two things at once; more only take turns. */
const atOnce = 2;

/** Brings every provisioner's result into the cache, two at a time, with live progress on a terminal and plain lines elsewhere. */
export async function provisionAll(provisioners: readonly Provisioner[], paths: Paths, signal: AbortSignal, live: boolean): Promise<void> {
  const context = { paths, signal, report: () => undefined };
  const missing: Provisioner[] = [];
  for (const provisioner of provisioners) if (!(await provisioner.ready(context))) missing.push(provisioner);
  if (missing.length === 0) return;
  const tasks = new Listr(
    missing.map((provisioner) => ({
      title: provisioner.name,
      task: async (_: unknown, task: { output: string }): Promise<void> => {
        const report = (line: string, fraction?: number): void => {
          task.output = fraction === undefined ? line : `${Math.round(fraction * 100)} % ${line}`;
        };
        await provisioner.provision({ paths, signal, report });
      },
    })),
    {
      concurrent: atOnce,
      renderer: live ? 'default' : 'simple',
      rendererOptions: live ? { collapseErrors: false } : {},
      exitOnError: true,
    },
  );
  await tasks.run();
}
