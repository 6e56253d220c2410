import type { StoredManifest } from '../core/model.ts';
import type { Signer, SigningKeys } from '../platform/signing-keys.ts';
import { signatureOf, signedText } from './signed-text.ts';

/** The manifest is not signed, its signature is wrong, or nobody here knows the key. */
export class UntrustedModel extends Error {
  override name = 'UntrustedModel';
}

/** Versions from before there were signatures. */
export type UnsignedModels = 'accept' | 'refuse';
export type Trust = Pick<SigningKeys, 'trusted'> & { readonly unsigned: UnsignedModels };

export const signManifest = (manifest: Omit<StoredManifest, 'signature'>, signer: Signer): StoredManifest => ({
  ...manifest,
  signature: signatureOf(manifest, signer),
});

/** `unsigned`: a version of before (format 1). `missing`: one of a later format, which must have a signature. `unknownKey`: signed, but with no key that is trusted. */
export type SignatureFinding = 'good' | 'unsigned' | 'missing' | 'unknownKey' | 'wrong';

export function signatureFinding(manifest: StoredManifest, trusted: SigningKeys['trusted']): SignatureFinding {
  const { format, signature } = manifest;
  if (!signature) return format === 'modelwright-model/1' ? 'unsigned' : 'missing';
  const key = trusted.get(signature.keyId);
  if (!key) return 'unknownKey';
  return key.verify(signedText(manifest), signature.value) ? 'good' : 'wrong';
}

/** What is wrong with it, where that is the same for whoever reads the version. */
export const signatureFaults = {
  missing: 'its manifest has no signature: somebody has taken it away, or another program has written it',
  wrong: (keyId: string) => `its signature is not that of the key ${keyId}: the manifest was changed after it was signed`,
} as const;

/** Throws UntrustedModel, which says why and what to do. Manifests of format 1 have no signature. */
export function checkSignature(manifest: StoredManifest, { trusted, unsigned }: Trust): void {
  const { signature, version, customizationId } = manifest;
  const keyId = signature?.keyId ?? '';
  const refuse = (why: string): UntrustedModel => new UntrustedModel(`v${version} of ${customizationId} is not loaded: ${why}`);
  const finding = signatureFinding(manifest, trusted);
  if (finding === 'missing') throw refuse(signatureFaults.missing);
  if (finding === 'wrong') throw refuse(signatureFaults.wrong(keyId));
  if (finding === 'unsigned' && unsigned === 'refuse')
    throw refuse('it is from before versions were signed, and MW_UNSIGNED_MODELS=refuse: retrain it');
  if (finding === 'unknownKey')
    throw refuse(`it is signed with the key ${keyId}, which is not trusted here: if it is yours, add it to MW_TRUSTED_KEYS`);
}
