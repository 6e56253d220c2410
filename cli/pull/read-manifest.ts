import type { ModelManifest, StoredManifest } from '../../core/model.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { parseStoredManifest, wholeManifest } from '../../store/model-manifest.ts';
import { CorruptObject } from '../../store/object-store.ts';
import { CommandError } from '../command.ts';
import type { Addresses } from './addresses.ts';
import { openAddress } from './open-address.ts';

/** The manifest as it lies in the store, byte for byte, so that its digest and signature can be checked by whoever gets it. */
export async function readManifest(addresses: Addresses): Promise<{ readonly stored: StoredManifest; readonly text: string }> {
  const body = await document(addresses, addresses.manifest, 'the manifest');
  return { stored: await said(() => parseStoredManifest(body, 'the manifest')), text: body.toString('utf8') };
}

/** With what the version has from its base model. After the signature was checked: nothing of a version that is not trusted is fetched. */
export async function readWhole(addresses: Addresses, stored: StoredManifest): Promise<ModelManifest> {
  const { base } = stored;
  const what = `the manifest of the base model ${stored.encoder.name}`;
  return await said(() => wholeManifest(() => document(addresses, { sha256: base?.sha256 ?? '', bytes: base?.bytes ?? 0 }, what), stored));
}

/** What is wrong with stored bytes is said to people. */
async function said<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof CorruptObject ? new CommandError(`${error.message}; if it is damaged, the operator can repair it`) : error;
  }
}

type Wanted = { readonly sha256: string; readonly bytes: number };

/** The address has expired. */
class Refused extends CommandError {}

/** Bytes that have the digest, from whichever site of the store has them right. No more than they should be are taken. */
async function document(addresses: Addresses, wanted: Wanted, what: string): Promise<Buffer> {
  let renewed = false;
  for (let sitesLeft = addresses.sitesOf(wanted.sha256) - 1; ;) {
    const url = addresses.urlOf(wanted.sha256);
    try {
      return await documentAt(url, wanted, what);
    } catch (error) {
      if (error instanceof Refused && !renewed) {
        await addresses.renew(wanted.sha256, url);
        renewed = true;
        continue;
      }
      if (sitesLeft <= 0) throw error;
      sitesLeft -= 1;
      addresses.turnFrom(wanted.sha256, url);
    }
  }
}

async function documentAt(url: string, { sha256, bytes }: Wanted, what: string): Promise<Buffer> {
  const response = await openAddress(url, 0, new AbortController().signal);
  if (response.statusCode !== 200) {
    const { statusCode = 0 } = response;
    response.destroy();
    throw new (statusCode === 403 ? Refused : CommandError)(
      `the store answered ${statusCode} for ${what}: tell the operator, who can repair it`,
    );
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    chunks.push(chunk as Buffer);
    if ((size += (chunk as Buffer).byteLength) > bytes) break;
  }
  const body = Buffer.concat(chunks);
  if (body.byteLength !== bytes || sha256Hex(body) !== sha256)
    throw new CommandError(`${what} is damaged in the store: its SHA-256 is not ${sha256}; tell the operator, who can repair it`);
  return body;
}
