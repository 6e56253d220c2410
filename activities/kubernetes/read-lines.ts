import type { Readable } from 'node:stream';

/** The lines of a body as they come; the last one also without a line end. A connection that breaks throws. */
export async function* readLines(body: Readable): AsyncGenerator<string> {
  let partial = '';
  body.setEncoding('utf8');
  for await (const chunk of body) {
    const lines = (partial + (chunk as string)).split('\n');
    partial = lines.pop() ?? '';
    yield* lines;
  }
  if (partial !== '') yield partial;
}
