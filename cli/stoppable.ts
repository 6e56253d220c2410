import { MachineProblems } from '../infra/local/machine-problems.ts';
import { CommandError } from './command.ts';

/** Work that Ctrl-C and SIGTERM stop: it clears up by its signal, and then people read `message`. What the machine lacks is told in lines of its own. */
export async function stoppable(message: string, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const asked = new AbortController();
  const stop = (): void => asked.abort(new CommandError(message));
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  try {
    await work(asked.signal);
  } catch (error) {
    asked.signal.throwIfAborted();
    if (error instanceof MachineProblems) throw new CommandError(error.problems.join('\nmw: '));
    throw error;
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}
