import type { ForgettingCertificate } from '../core/forgetting.ts';
import { type Json, canonicalJson } from '../core/json.ts';
import { sha256Hex } from '../platform/hash.ts';
import type { PublicKey, Signer } from '../platform/signing-keys.ts';

/** How a certificate names an example: who has its id can tell that it is meant, and nobody else. */
export const exampleDigest = (salt: string, exampleId: string): string => sha256Hex(`${salt}\n${exampleId}`);

/** Canonical JSON of the certificate without its signature, as of a model's manifest. */
function signedText(certificate: Omit<ForgettingCertificate, 'signature'>): string {
  const { signature: _signature, ...signed } = certificate as ForgettingCertificate;
  return canonicalJson(JSON.parse(JSON.stringify(signed)) as Json);
}

export const signCertificate = (certificate: Omit<ForgettingCertificate, 'signature'>, { keyId, sign }: Signer): ForgettingCertificate => ({
  ...certificate,
  signature: { keyId, value: sign(signedText(certificate)) },
});

/** What is wrong with the certificate, in a sentence; null: it is what one of these keys has signed. */
export function certificateProblem(
  certificate: ForgettingCertificate,
  keys: ReadonlyMap<string, Pick<PublicKey, 'verify'>>,
): string | null {
  const { keyId, value } = certificate.signature;
  const key = keys.get(keyId);
  if (!key) return `it is signed with the key ${keyId}, which is not one of these`;
  return key.verify(signedText(certificate), value) ? null : 'it was changed after it was signed';
}
