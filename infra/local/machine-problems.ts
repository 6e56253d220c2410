import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Why something cannot be had on this machine, in sentences for whoever runs it. Nothing has been made when it is thrown. */
export class MachineProblems extends Error {
  override name = 'MachineProblems';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join('; '));
    this.problems = problems;
  }
}

export const isInPath = (program: string): boolean =>
  (process.env['PATH'] ?? '').split(delimiter).some((folder) => folder !== '' && existsSync(join(folder, program)));
