import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { ApiClient } from './api-client.ts';
import type { ImportReport } from './api-types.ts';
import { CommandError } from './command.ts';
import { type Screen, bar } from './screen.ts';
import { bytes, count } from './wording.ts';

export const contentTypeOf = (path: string): string => {
  if (/\.(jsonl|ndjson)$/i.test(path)) return 'application/x-ndjson';
  if (/\.csv$/i.test(path)) return 'text/csv';
  throw new CommandError(`${path}: give a .jsonl, .ndjson or .csv file`);
};

/** Streams a file to the import route with a progress bar. */
export async function submitFile(
  api: ApiClient,
  customization: string,
  path: string,
  screen: Screen,
  dryRun = false,
): Promise<ImportReport> {
  const type = contentTypeOf(path);
  const size = await stat(path).then(
    (found) => found.size,
    () => {
      throw new CommandError(`${path} does not exist or cannot be read`);
    },
  );
  let sent = 0;
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of createReadStream(path)) {
      yield chunk as Buffer;
      sent += (chunk as Buffer).byteLength;
      screen.changing('import', `  importing ${bar(sent, size)} of ${bytes(size)}`);
    }
  };
  return await api.upload<ImportReport>(`/v1/customizations/${customization}/examples:import${dryRun ? '?dryRun=1' : ''}`, type, chunks());
}

export function printReport(screen: Screen, report: ImportReport): void {
  screen.line(`  ${count(report.stored)} stored, ${count(report.updated)} updated, ${count(report.rejected)} rejected`);
  for (const { line, pointer, message } of report.errors) screen.line(`  line ${line} ${pointer}: ${message}`);
}
