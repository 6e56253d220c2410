import { type Json, canonicalJson } from '../core/json.ts';
import type { ModelManifest } from '../core/model.ts';
import type { Signer, SigningKeys } from '../platform/signing-keys.ts';

/** The manifest is not signed, its signature is wrong, or nobody here knows the key. */
export class UntrustedModel extends Error {
  override name = 'UntrustedModel';
}

/** Versions from before there were signatures. */
export type UnsignedModels = 'accept' | 'refuse';
export type Trust = Pick<SigningKeys, 'trusted'> & { readonly unsigned: UnsignedModels };

/** What is signed: the manifest as it is stored, without its signature. */
function signedText(manifest: Omit<ModelManifest, 'signature'>): string {
  const { signature: _signature, ...signed } = manifest as ModelManifest;
  return canonicalJson(JSON.parse(JSON.stringify(signed)) as Json);
}

export const signManifest = (manifest: Omit<ModelManifest, 'signature'>, { keyId, sign }: Signer): ModelManifest => ({
  ...manifest,
  signature: { keyId, value: sign(signedText(manifest)) },
});

/** Throws UntrustedModel, which says why and what to do. Manifests of format 1 have no signature. */
export function checkSignature(manifest: ModelManifest, { trusted, unsigned }: Trust): void {
  const { format, signature, version, customizationId } = manifest;
  const refuse = (why: string): UntrustedModel => new UntrustedModel(`v${version} of ${customizationId} is not loaded: ${why}`);
  if (!signature) {
    if (format === 'modelwright-model/1' && unsigned === 'accept') return;
    throw refuse(
      format === 'modelwright-model/1'
        ? 'it is from before versions were signed, and MW_UNSIGNED_MODELS=refuse: retrain it'
        : 'its manifest has no signature: somebody has taken it away, or another program has written it',
    );
  }
  const key = trusted.get(signature.keyId);
  if (!key)
    throw refuse(`it is signed with the key ${signature.keyId}, which is not trusted here: if it is yours, add it to MW_TRUSTED_KEYS`);
  if (!key.verify(signedText(manifest), signature.value))
    throw refuse(`its signature is not that of the key ${signature.keyId}: the manifest was changed after it was signed`);
}
