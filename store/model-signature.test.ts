import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type Json, canonicalJson } from '../core/json.ts';
import type { StoredManifest } from '../core/model.ts';
import { KeyError, parseSigner, parseTrustedKeys, signingKeys } from '../platform/signing-keys.ts';
import { type UnsignedModels, UntrustedModel, checkSignature, signManifest } from './model-signature.ts';

const signer = parseSigner(Buffer.alloc(32, 1).toString('base64'));
const next = parseSigner(Buffer.alloc(32, 2).toString('base64'));
const manifest = {
  format: 'modelwright-model/2',
  customizationId: 'news',
  version: 3,
  options: { label: 'ü', small: 1e-7, signature: { keyId: 'a tenant may name it so' } },
  parent: undefined,
} as unknown as Omit<StoredManifest, 'signature'>;
/** As it comes back from the store. */
const stored = (value: unknown): StoredManifest => JSON.parse(canonicalJson(JSON.parse(JSON.stringify(value)) as Json)) as StoredManifest;
const signed = stored(signManifest(manifest, signer));
const trust = (keys = signingKeys(signer, []), unsigned: UnsignedModels = 'accept') => ({ ...keys, unsigned });

describe('the signature of a manifest', () => {
  it('is good with the key that made it, wherever its fields stand', () => {
    expect(signed.signature?.keyId).toBe(signer.keyId);
    checkSignature(signed, trust());
    checkSignature(Object.fromEntries(Object.entries(signed).reverse()) as StoredManifest, trust());
  });

  it('is wrong after any change', () => {
    const changes = [{ version: 4 }, { options: { ...signed.options, small: 2e-7 } }, { tensors: {} }, { format: 'modelwright-model/1' }];
    for (const change of changes)
      expect(() => checkSignature({ ...signed, ...change } as StoredManifest, trust())).toThrow(/was changed after it was signed/);
    const value = Buffer.from(signed.signature?.value ?? '', 'base64');
    value[5] = (value[5] ?? 0) ^ 1;
    for (const wrong of [value.toString('base64'), '', 'no base64!'])
      expect(() => checkSignature({ ...signed, signature: { keyId: signer.keyId, value: wrong } }, trust())).toThrow(UntrustedModel);
  });

  it('is not good with a key that nobody here knows, and says what to do', () => {
    expect(() => checkSignature(signed, trust(signingKeys(next, [])))).toThrow(
      `v3 of news is not loaded: it is signed with the key ${signer.keyId}, which is not trusted here: if it is yours, add it to MW_TRUSTED_KEYS`,
    );
  });

  it('of a former key stays good where that is trusted, and where nobody signs', () => {
    const former = parseTrustedKeys(signer.publicKey);
    expect(() => checkSignature(signed, trust(signingKeys(next, former)))).not.toThrow();
    expect(() => checkSignature(stored(signManifest(manifest, next)), trust(signingKeys(next, former)))).not.toThrow();
    expect(() => checkSignature(signed, trust(signingKeys(null, former)))).not.toThrow();
  });

  it('may be absent from versions of before alone, unless MW_UNSIGNED_MODELS refuses them', () => {
    const { signature: _, ...unsigned } = signed;
    expect(() => checkSignature(unsigned, trust())).toThrow(/has no signature/);
    const former: StoredManifest = { ...unsigned, format: 'modelwright-model/1' };
    checkSignature(former, trust());
    expect(() => checkSignature(former, trust(undefined, 'refuse'))).toThrow(/MW_UNSIGNED_MODELS=refuse: retrain it/);
  });
});

describe('keys', () => {
  it('are read from PEM, also in one line, and from a seed', () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;
    const seed = Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url').toString('base64');
    const ids = [pem, pem.replaceAll('\n', String.raw`\n`), seed].map((text) => parseSigner(text).keyId);
    expect(new Set(ids).size).toBe(1);
    expect(ids[0]).toMatch(/^[0-9a-f]{16}$/);
  });

  it('that are none are refused without being shown', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const other = privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;
    for (const text of ['secret-text', other]) {
      expect(() => parseSigner(text)).toThrow(KeyError);
      expect(() => parseSigner(text)).not.toThrow(/secret-text/);
    }
    expect(parseTrustedKeys(' ')).toEqual([]);
    expect(() => parseTrustedKeys(`${signer.publicKey},abc`)).toThrow(/number 2/);
  });
});
