import { spawn } from 'node:child_process';

export type CommandOptions = {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal;
  readonly onLine?: (line: string) => void;
};

/** Lines of output kept for the error message. */
const keptLines = 15;

/** Runs a command to its end. A failure carries the command and the last lines that it printed. */
export async function runCommand(command: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.signal ? { signal: options.signal } : {}),
  });
  let output = '';
  let partial = '';
  const take = (chunk: Buffer): void => {
    const text = chunk.toString('utf8');
    partial += text;
    const lines = partial.split(/\r?\n/);
    partial = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') options.onLine?.(line);
  };
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString('utf8');
    take(chunk);
  });
  const tail: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => {
    tail.push(...chunk.toString('utf8').split('\n'));
    if (tail.length > keptLines * 4) tail.splice(0, tail.length - keptLines * 4);
    take(chunk);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => reject(new Error(`${command} could not be run: ${error.message}`, { cause: error })));
    child.once('close', (status) => resolve(status));
  });
  if (code !== 0) {
    const last = [...output.split('\n'), ...tail].filter((line) => line.trim() !== '').slice(-keptLines);
    throw new Error(`${command} ${args.slice(0, 3).join(' ')} ended with status ${code}:\n  ${last.join('\n  ')}`);
  }
  return output;
}
