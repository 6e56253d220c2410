import { Readable } from 'node:stream';
import { randomBytes } from '../../platform/clock.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { tenantShardKey } from '../../store/keys.ts';
import type { ObjectStore } from '../../store/object-store.ts';

/** Stores 64 MiB and reads them as a stream, in the middle of which something happens: SHA-256 of what was stored and of what was read. */
export async function interruptedStream(
  store: ObjectStore,
  interrupt: () => void,
): Promise<{ readonly stored: string; readonly read: string }> {
  const bytes = randomBytes(64 * 1024 ** 2);
  const sha256 = sha256Hex(bytes);
  const key = tenantShardKey('acme', sha256);
  await store.putContentStream(key, {
    bytes: bytes.byteLength,
    sha256,
    open: async () => await Promise.resolve(Readable.from([bytes])),
  });
  const parts: Buffer[] = [];
  for await (const part of await store.stream(key)) {
    if (parts.length === 2) interrupt();
    parts.push(part as Buffer);
  }
  return { stored: sha256, read: sha256Hex(Buffer.concat(parts)) };
}
