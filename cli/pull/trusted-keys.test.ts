import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StoredManifest } from '../../core/model.ts';
import { type Signer, parseSigner } from '../../platform/signing-keys.ts';
import { signManifest } from '../../store/model-signature.ts';
import type { ApiClient } from '../api-client.ts';
import { CommandError } from '../command.ts';
import { type TrustOptions, readerTrust } from './trusted-keys.ts';
import { UntrustedVersion, checkTrusted } from './trusted-manifest.ts';

const [first, second] = [1, 2].map((seed) => parseSigner(Buffer.alloc(32, seed).toString('base64'))) as [Signer, Signer];
const wanted = { customization: 'news', version: 3 };
const manifest = { format: 'modelwright-model/2', customizationId: 'news', version: 3, labels: ['a'] } as unknown as Omit<
  StoredManifest,
  'signature'
>;
const before = { ...process.env };
let home: string;
let said: string[];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'mw-trust-'));
  said = [];
  Object.assign(process.env, { MW_HOME: home, MW_URL: 'http://api.example' });
  delete process.env['MW_TRUSTED_KEYS'];
});
afterEach(async () => {
  process.env = { ...before };
  await rm(home, { recursive: true });
});

/** An API that names these keys. */
const naming = (keys: readonly Signer[], url = 'http://api.example'): ApiClient =>
  ({ url, call: () => Promise.resolve({ items: keys.map(({ keyId, publicKey }) => ({ keyId, publicKey })) }) }) as unknown as ApiClient;
const trustOf = (api: ApiClient, options: TrustOptions = {}) => readerTrust(api, options, (line) => said.push(line));

describe('keys that are trusted', () => {
  it('are those of the first use, whatever the API names later, for each API by itself', async () => {
    const trust = await trustOf(naming([first]));
    expect(checkTrusted(signManifest(manifest, first), wanted, trust)).toBe(first.keyId);
    expect(said).toEqual([expect.stringContaining(`trusting the signing keys of http://api.example from now on: ${first.keyId}`)]);
    const later = await trustOf(naming([second]));
    expect(said).toHaveLength(1);
    checkTrusted(signManifest(manifest, first), wanted, later);
    const file = join(home, 'trusted-keys', (await readdir(join(home, 'trusted-keys')))[0] ?? '');
    expect(() => checkTrusted(signManifest(manifest, second), wanted, later)).toThrow(
      `v3 of news is not trusted: it is signed with the key ${second.keyId}, which is not trusted here: ${file} has the keys that http://api.example had`,
    );
    const other = await trustOf(naming([second], 'http://other.example'));
    checkTrusted(signManifest(manifest, second), wanted, other);
    await rm(file);
    checkTrusted(signManifest(manifest, second), wanted, await trustOf(naming([second])));
  });

  it('of a first use that happens several times at once are the same for all', async () => {
    const trusts = await Promise.all(Array.from({ length: 8 }, (_, i) => trustOf(naming([i % 2 === 0 ? first : second]))));
    expect(new Set(trusts.flatMap(({ trusted }) => [...trusted.keys()])).size).toBe(1);
    expect(said).toHaveLength(1);
    expect(await readdir(join(home, 'trusted-keys'))).toHaveLength(1);
  });

  it('are those that are given, and nothing is asked or kept then', async () => {
    const silent = { url: 'http://api.example', call: () => Promise.reject(new Error('asked')) } as unknown as ApiClient;
    const given = await trustOf(silent, { trustedKey: `${second.publicKey}, ${first.publicKey}` });
    expect([...given.trusted.keys()].toSorted()).toEqual([first.keyId, second.keyId].toSorted());
    process.env['MW_TRUSTED_KEYS'] = first.publicKey;
    const set = await trustOf(silent);
    expect(() => checkTrusted(signManifest(manifest, second), wanted, set)).toThrow(/add its public key to MW_TRUSTED_KEYS/);
    expect([...(await trustOf(silent, { trustedKey: second.publicKey })).trusted.keys()]).toEqual([second.keyId]);
    expect(await readdir(home)).toEqual([]);
  });

  it('that are none are refused, and so is a file that was spoilt', async () => {
    await expect(trustOf(naming([]), { trustedKey: 'abc' })).rejects.toThrow(/--trusted-key has a key \(number 1\) that is not the base64/);
    await expect(trustOf(naming([]), { trustedKey: ' ' })).rejects.toThrow(/--trusted-key is empty/);
    process.env['MW_TRUSTED_KEYS'] = `${first.publicKey},x`;
    await expect(trustOf(naming([]))).rejects.toThrow(/MW_TRUSTED_KEYS has a key \(number 2\)/);
    delete process.env['MW_TRUSTED_KEYS'];
    await trustOf(naming([first]));
    await writeFile(join(home, 'trusted-keys', (await readdir(join(home, 'trusted-keys')))[0] ?? ''), '{"keys":"all"}');
    await expect(trustOf(naming([first]))).rejects.toThrow(CommandError);
    await expect(trustOf(naming([first]))).rejects.toThrow(/is no list of trusted keys: mend it, or delete it/);
  });
});

describe('a manifest', () => {
  const trust = { trusted: new Map([[first.keyId, first]]), allowUnsigned: false, remedy: '' };
  const signed = signManifest(manifest, first);
  const former = { ...manifest, format: 'modelwright-model/1' } as StoredManifest;

  it.each<[string, StoredManifest, RegExp]>([
    ['whose signature was taken away', manifest, /its manifest has no signature: somebody has taken it away/],
    ['that was changed after it was signed', { ...signed, labels: ['b'] }, /was changed after it was signed/],
    ['that is signed with an unknown key', signManifest(manifest, second), /which is not trusted here/],
    ['of before there were signatures', former, /take it by --allow-unsigned/],
    ['of another version', signManifest({ ...manifest, version: 2 }, first), /its manifest is that of v2 of news/],
    ['of another customization', signManifest({ ...manifest, customizationId: 'spam' }, first), /its manifest is that of v3 of spam/],
  ])('%s is refused', (_, wrong, why) => {
    expect(() => checkTrusted(wrong, wanted, trust)).toThrow(UntrustedVersion);
    expect(() => checkTrusted(wrong, wanted, trust)).toThrow(why);
  });

  it('of before there were signatures is taken where that is wished, and one without its signature is not', () => {
    expect(checkTrusted(former, wanted, { ...trust, allowUnsigned: true })).toBeNull();
    expect(() => checkTrusted(manifest as StoredManifest, wanted, { ...trust, allowUnsigned: true })).toThrow(/has no signature/);
  });
});
