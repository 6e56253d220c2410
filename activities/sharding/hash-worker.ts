import { type Hash, createHash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';

/** Bytes of shared memory, which are hashed where they are. */
export type BytesAt = { readonly memory: SharedArrayBuffer; readonly from: number; readonly bytes: number };

export type HashRequest =
  /** SHA-256 of each. */
  | { readonly id: number; readonly kind: 'digests'; readonly parts: readonly BytesAt[] }
  /** More of what a stream consists of; the first mention of a stream begins it. */
  | { readonly id: number; readonly kind: 'update'; readonly stream: number; readonly part: BytesAt }
  | { readonly id: number; readonly kind: 'finish'; readonly stream: number };
export type HashAnswer = { readonly id: number; readonly digests: readonly string[] };

const viewOf = ({ memory, from, bytes }: BytesAt): Uint8Array => new Uint8Array(memory, from, bytes);

/** Answers requests one after the other; the same in a thread as in the thread that asks. */
export function createHasher(): (request: HashRequest) => HashAnswer {
  const streams = new Map<number, Hash>();
  return (request) => {
    const { id, kind } = request;
    if (kind === 'digests') return { id, digests: request.parts.map((part) => createHash('sha256').update(viewOf(part)).digest('hex')) };
    const hash = streams.get(request.stream) ?? createHash('sha256');
    if (kind === 'update') {
      streams.set(request.stream, hash.update(viewOf(request.part)));
      return { id, digests: [] };
    }
    streams.delete(request.stream);
    return { id, digests: [hash.digest('hex')] };
  };
}

if (parentPort) {
  const port = parentPort;
  const answer = createHasher();
  port.on('message', (request: HashRequest) => port.postMessage(answer(request)));
}
