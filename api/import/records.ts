import type { Readable } from 'node:stream';
import { parse as csvParser } from 'csv-parse';

/** One record of an import: a value, or why it could not be read. Lines count from 1. */
export type ImportRecord = { readonly line: number } & (
  | { readonly value: unknown }
  | { readonly problem: { readonly pointer: string; readonly message: string; readonly unreadable: boolean } }
);

const newline = 0x0a;

/** JSON Lines as they arrive. Holds one line at most; a line that is too long is passed over without being kept. */
export async function* ndjsonRecords(source: Readable, maxLineBytes: number): AsyncGenerator<ImportRecord> {
  let parts: Buffer[] = [];
  let size = 0;
  let line = 1;
  const take = (): ImportRecord | null => {
    const bytes = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
    const long = size > maxLineBytes;
    parts = [];
    size = 0;
    return long ? unreadable(line, `the line is longer than ${maxLineBytes} bytes`) : parseLine(bytes, line);
  };
  const add = (bytes: Buffer): void => {
    size += bytes.byteLength;
    if (size <= maxLineBytes) parts.push(bytes);
    else parts = [];
  };
  for await (const chunk of source as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      add(chunk.subarray(start, end));
      const record = take();
      if (record) yield record;
      line += 1;
      start = end + 1;
    }
    // A copy: the chunk's memory is used again by the socket.
    if (start < chunk.byteLength) add(Buffer.from(chunk.subarray(start)));
  }
  const last = size > 0 ? take() : null;
  if (last) yield last;
}

const unreadable = (line: number, message: string): ImportRecord => ({ line, problem: { pointer: '', message, unreadable: true } });

function parseLine(bytes: Buffer, line: number): ImportRecord | null {
  let text: string;
  try {
    // The decoder drops a byte order mark.
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim();
  } catch {
    return unreadable(line, 'the line is not UTF-8');
  }
  if (text === '') return null;
  try {
    const value = JSON.parse(text) as unknown;
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return { line, value };
    return { line, problem: { pointer: '', message: 'the line is JSON, but not an object', unreadable: false } };
  } catch {
    return unreadable(line, 'the line is not JSON');
  }
}

/** How the text of a CSV field becomes the value of an example's field. */
export type FieldReading = (name: string, text: string) => unknown;

/** CSV with a header line. */
export async function* csvRecords(source: Readable, maxRecordBytes: number, valueOf: FieldReading): AsyncGenerator<ImportRecord> {
  const skipped: ImportRecord[] = [];
  const parser = csvParser({
    bom: true,
    columns: (header: string[]) => header.map((name) => name.trim()),
    info: true,
    skip_empty_lines: true,
    skip_records_with_error: true,
    max_record_size: maxRecordBytes,
    on_skip: (error) => {
      if (error) skipped.push(unreadable(Number(error['lines'] ?? 0), csvMessage(error.code)));
      return undefined;
    },
  });
  source.on('error', (error) => parser.destroy(error));
  source.pipe(parser);
  for await (const { record, info } of parser as AsyncIterable<{ record: Record<string, string>; info: { lines: number } }>) {
    yield* skipped.splice(0);
    const line = info.lines;
    if (Object.values(record).some((text) => text.includes('\uFFFD'))) {
      yield unreadable(line, 'the record is not UTF-8');
      continue;
    }
    const filled = Object.entries(record).filter(([, text]) => text !== '');
    yield { line, value: Object.fromEntries(filled.map(([name, text]) => [name, valueOf(name, text)])) };
  }
  yield* skipped.splice(0);
}

function csvMessage(code: string): string {
  if (code.includes('MAX_RECORD_SIZE')) return 'the record is too long, or a quote is never closed';
  if (code.includes('INCONSISTENT')) return 'the record has another number of fields than the header';
  return 'the record has a quote where none may be';
}
