import { spawn } from 'node:child_process';
import { constants, cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../infra/local/ports.ts';
import { settingsSchema } from '../../platform/config.ts';
import { projectDir, resolvePaths } from '../../platform/paths.ts';

export type CommandResult = { readonly status: number | null; readonly output: string };

/** A folder, a home and ports of its own, in which commands are run as a person would. `remove` stops what runs there. */
export type CliHome = {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  /** `./mw ARGS`, without standard input. */
  mw(args: readonly string[]): Promise<CommandResult>;
  /** A line of the documentation: a shell, in the folder, where `./mw` is the project's. */
  shell(line: string): Promise<CommandResult>;
  remove(): Promise<void>;
};

/** `ownModels`: with a folder of base models of its own, in which those that are installed here are too. */
export async function makeCliHome({ ownModels = false } = {}): Promise<CliHome> {
  const folder = await mkdtemp(join(tmpdir(), 'mw-home-'));
  const kept = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !entry[0].startsWith('VITEST'),
  );
  const env: Record<string, string> = Object.fromEntries([...kept, ['MW_HOME', join(folder, 'home')], ['NODE_ENV', 'production']]);
  const variables = Object.keys(settingsSchema.shape).filter((one) => one.endsWith('_PORT'));
  const ports = await freePorts(variables.length);
  for (const [i, name] of variables.entries()) env[name] = String(ports[i]);
  if (ownModels) {
    env['MW_MODELS_DIR'] = join(folder, 'models');
    const installed = resolvePaths(process.env).modelsDir;
    // What is not there yet is fetched when the stack starts.
    await cp(installed, env['MW_MODELS_DIR'], { recursive: true, mode: constants.COPYFILE_FICLONE }).catch(() => undefined);
  }
  const run = async (command: string, args: readonly string[]): Promise<CommandResult> => {
    const child = spawn(command, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
    return { status: await new Promise((resolve) => child.once('close', resolve)), output };
  };
  const mw = (args: readonly string[]): Promise<CommandResult> => run(process.execPath, [join(projectDir, 'cli/main.ts'), ...args]);
  return {
    folder,
    env,
    mw,
    shell: (line) => run('sh', ['-c', line.replaceAll('./mw ', `${join(projectDir, 'mw')} `)]),
    async remove() {
      await mw(['down']);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
