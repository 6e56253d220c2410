import { type KeyObject, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { sha256Hex } from './hash.ts';

/** DER before the 32 bytes of an Ed25519 key: PKCS #8 of a seed, SPKI of a public key (RFC 8410). */
const seedPrefix = Buffer.from('302e020100300506032b657004220420', 'hex');
const publicPrefix = Buffer.from('302a300506032b6570032100', 'hex');
const keyBytes = 32;

/** A key is none of Ed25519, or is not written as it must be. The message never carries it. */
export class KeyError extends Error {
  override name = 'KeyError';
}

export type PublicKey = {
  /** The first 16 hex digits of the SHA-256 of the key's 32 bytes. */
  readonly keyId: string;
  /** The 32 bytes in base64. */
  readonly publicKey: string;
  readonly verify: (text: string, signature: string) => boolean;
};
export type Signer = PublicKey & { /** Ed25519 over the text in UTF-8, in base64. */ readonly sign: (text: string) => string };

/** `signer`: null in processes that have no private key. `trusted` has the signer's key too. */
export type SigningKeys = { readonly signer: Signer | null; readonly trusted: ReadonlyMap<string, PublicKey> };

function publicKeyOf(key: KeyObject): PublicKey {
  const raw = Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url');
  return {
    keyId: sha256Hex(raw).slice(0, 16),
    publicKey: raw.toString('base64'),
    verify: (text, signature) => verify(null, Buffer.from(text, 'utf8'), key, Buffer.from(signature, 'base64')),
  };
}

const rawKey = (text: string): Buffer | null => {
  const raw = Buffer.from(text.trim(), 'base64');
  return raw.byteLength === keyBytes ? raw : null;
};

/** The private key from PEM (PKCS #8) or from the base64 of its seed. Throws KeyError. */
export function parseSigner(text: string): Signer {
  const seed = rawKey(text);
  let key: KeyObject;
  try {
    key = seed
      ? createPrivateKey({ key: Buffer.concat([seedPrefix, seed]), format: 'der', type: 'pkcs8' })
      : createPrivateKey(text.replaceAll(String.raw`\n`, '\n'));
  } catch {
    throw new KeyError('is neither a private key in PEM nor the base64 of a seed of 32 bytes');
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw new KeyError(`is a key of ${key.asymmetricKeyType ?? 'another kind'}: make one of Ed25519`);
  return { ...publicKeyOf(createPublicKey(key)), sign: (message) => sign(null, Buffer.from(message, 'utf8'), key).toString('base64') };
}

/** Public keys: the base64 of 32 bytes each, separated by commas. Throws KeyError. */
export function parseTrustedKeys(list: string): PublicKey[] {
  const texts = list.split(',').filter((text) => text.trim() !== '');
  return texts.map((text, i) => {
    const raw = rawKey(text);
    if (!raw) throw new KeyError(`has a key (number ${i + 1}) that is not the base64 of 32 bytes`);
    return publicKeyOf(createPublicKey({ key: Buffer.concat([publicPrefix, raw]), format: 'der', type: 'spki' }));
  });
}

export const signingKeys = (signer: Signer | null, others: readonly PublicKey[]): SigningKeys => ({
  signer,
  trusted: new Map([...others, ...(signer ? [signer] : [])].map((key) => [key.keyId, key])),
});
