import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';

const mostBytes = 8_192;
const mostCharacters = 300;

type LogLine = {
  readonly level?: number | string;
  readonly msg?: string;
  readonly err?: { readonly message?: string };
  readonly error?: string;
};

/**
 * Why a process ended, as far as its log says: the last error of what it wrote from byte `from` on, else its last line; null where it wrote nothing.
 * Our services log JSON lines (pino: 50 is an error), Temporal too (levels by name); other engines log text.
 */
export function lastWords(logFile: string, from: number): string | null {
  if (!existsSync(logFile)) return null;
  const file = openSync(logFile, 'r');
  let text: string;
  try {
    const { size } = fstatSync(file);
    const start = Math.max(from, size - mostBytes);
    const bytes = Buffer.alloc(Math.max(0, size - start));
    readSync(file, bytes, 0, bytes.length, start);
    text = bytes.toString('utf8');
  } finally {
    closeSync(file);
  }
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const said = lines.findLast((line) => isError(parsed(line))) ?? lines.at(-1);
  if (said === undefined) return null;
  const line = parsed(said);
  const words = line ? [line.msg, line.err?.message ?? line.error].filter(Boolean).join(': ') : said;
  return words.length > mostCharacters ? `${words.slice(0, mostCharacters)}…` : words;
}

const isError = (line: LogLine | null): boolean => Number(line?.level) >= 50 || line?.level === 'error' || line?.level === 'fatal';

function parsed(line: string): LogLine | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? value : null;
  } catch {
    return null;
  }
}
