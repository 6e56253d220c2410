import type { ForgettingCertificate } from '../core/forgetting.ts';
import { sha256Hex } from '../platform/hash.ts';
import type { PublicKey, Signer } from '../platform/signing-keys.ts';
import { signatureOf, signedText } from './signed-text.ts';

/** How a certificate names an example: who has its id can tell that it is meant, and nobody else. */
export const exampleDigest = (salt: string, exampleId: string): string => sha256Hex(`${salt}\n${exampleId}`);

export const signCertificate = (certificate: Omit<ForgettingCertificate, 'signature'>, signer: Signer): ForgettingCertificate => ({
  ...certificate,
  signature: signatureOf(certificate, signer),
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
