import { type FileHandle, open } from 'node:fs/promises';
import type { TrainingProgress } from '../../core/run.ts';

const readBytes = 64 * 1024;

/** Follows the trainer's standard output, a growing file of JSON lines. Unfinished lines wait; lines that are none of ours are passed over. */
export class ProgressLines {
  readonly #path: string;
  #file: FileHandle | null = null;
  #at = 0;
  #partial = '';

  constructor(path: string) {
    this.#path = path;
  }

  /** Everything that was printed since the last call. */
  async next(): Promise<TrainingProgress[]> {
    this.#file ??= await open(this.#path, 'r').catch(() => null);
    if (!this.#file) return [];
    const found: TrainingProgress[] = [];
    const buffer = Buffer.alloc(readBytes);
    for (;;) {
      const { bytesRead } = await this.#file.read(buffer, 0, readBytes, this.#at);
      if (bytesRead === 0) return found;
      this.#at += bytesRead;
      const lines = (this.#partial + buffer.toString('utf8', 0, bytesRead)).split('\n');
      this.#partial = lines.pop() ?? '';
      for (const line of lines) {
        const progress = parseProgress(line);
        if (progress) found.push(progress);
      }
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }
}

export function parseProgress(line: string): TrainingProgress | null {
  try {
    const value = JSON.parse(line) as Partial<TrainingProgress> & { type?: string };
    if (value.type !== 'progress' || typeof value.step !== 'number' || typeof value.steps !== 'number' || !value.phase) return null;
    const { phase, step, steps, epoch = 0, loss = null, etaMs = null } = value;
    return { phase, step, steps, epoch, loss, etaMs };
  } catch {
    return null;
  }
}
