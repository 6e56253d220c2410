import { buffer } from 'node:stream/consumers';
import type { ModelManifest } from '../../core/model.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { CommandError } from '../command.ts';
import type { Addresses } from './addresses.ts';
import { openAddress } from './open-address.ts';

/** The manifest as it lies in the store, byte for byte, so that its digest and signature can be checked by whoever gets it. */
export async function readManifest(addresses: Addresses): Promise<{ readonly manifest: ModelManifest; readonly text: string }> {
  const { sha256, bytes } = addresses.manifest;
  const response = await openAddress(addresses.urlOf(sha256), 0, new AbortController().signal);
  const body = await buffer(response);
  if (response.statusCode !== 200)
    throw new CommandError(`the store answered ${response.statusCode ?? 0} for the manifest: tell the operator, who can repair it`);
  if (body.byteLength !== bytes || sha256Hex(body) !== sha256)
    throw new CommandError(`the manifest is damaged in the store: its SHA-256 is not ${sha256}; tell the operator, who can repair it`);
  const text = body.toString('utf8');
  const manifest = JSON.parse(text) as ModelManifest;
  if (!/^modelwright-model\/[12]$/.test(manifest.format))
    throw new CommandError(`the version has format ${manifest.format}, which this program does not know: use a newer one`);
  return { manifest, text };
}
