import { type IncomingMessage, get as getByHttp } from 'node:http';
import { get as getByHttps } from 'node:https';

/** Nothing comes for so long: the connection is dead, whatever it says of itself. */
const silentMs = 60_000;

/**
 * The answer to a GET from byte `from` on. Not by `fetch`: Node's fails an assertion of its own when a server closes the connection while the
 * reader is slow.
 */
export async function openAddress(url: string, from: number, signal: AbortSignal): Promise<IncomingMessage> {
  const get = url.startsWith('https:') ? getByHttps : getByHttp;
  const headers = from > 0 ? { range: `bytes=${from}-` } : {};
  return await new Promise<IncomingMessage>((answered, failed) => {
    const request = get(url, { headers, signal }, answered).once('error', failed);
    request.setTimeout(silentMs, () => request.destroy(new Error(`nothing came for ${silentMs / 1_000} seconds`)));
  });
}
