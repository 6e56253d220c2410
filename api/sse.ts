import type { FastifyReply } from 'fastify';
import { sleep } from '../platform/clock.ts';

const pollMs = 300;
const keepAliveMs = 15_000;

/** Server-sent events: the value whenever it has changed, until `ended` or the client goes away. */
export async function sendEvents<T>(reply: FastifyReply, load: () => Promise<T>, ended: (value: T) => boolean): Promise<void> {
  // The first load may fail with a problem: it does so while an ordinary answer is still possible.
  let value = await load();
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', connection: 'keep-alive' });
  let last = '';
  let quietMs = 0;
  while (!raw.destroyed) {
    const text = JSON.stringify(value);
    if (text !== last) {
      raw.write(`data: ${text}\n\n`);
      last = text;
      quietMs = 0;
    } else if (quietMs >= keepAliveMs) {
      raw.write(': still here\n\n');
      quietMs = 0;
    }
    if (ended(value)) break;
    await sleep(pollMs);
    quietMs += pollMs;
    // A database that is away for a moment does not end the stream.
    value = await load().catch(() => value);
  }
  raw.end();
}
