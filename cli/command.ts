import { type Command, InvalidArgumentError } from 'commander';

/** Adds one command (or a group) to the program. */
export type RegisterCommand = (program: Command) => void;

/** A wrong call or a refused wish: printed without a stack, exit status 1. */
export class CommandError extends Error {
  override name = 'CommandError';
}

/** One JSON document on stdout, as `--json` promises. */
export function printJson(value: unknown): void {
  console.log(JSON.stringify(value, null, 2));
}

/** The argument of an option that counts something. */
export function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('must be a whole number');
  return Number(text);
}
