import { canonicalJsonOf } from '../core/json.ts';
import type { Signer } from '../platform/signing-keys.ts';

type Signature = { readonly keyId: string; readonly value: string };

/** What is signed of a document: its canonical JSON without its signature. */
export function signedText(document: object): string {
  const { signature: _signature, ...signed } = document as { readonly signature?: Signature };
  return canonicalJsonOf(signed);
}

export const signatureOf = (document: object, { keyId, sign }: Signer): Signature => ({ keyId, value: sign(signedText(document)) });
