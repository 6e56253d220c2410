import { existsSync } from 'node:fs';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomUUID } from '../../platform/clock.ts';
import { loadConfig, parseSettings } from '../../platform/config.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { type Paths, resolvePaths } from '../../platform/paths.ts';
import { KeyError, type PublicKey, parseTrustedKeys } from '../../platform/signing-keys.ts';
import type { ApiClient } from '../api-client.ts';
import { CommandError } from '../command.ts';

/** As commander gives them. */
export type TrustOptions = { readonly trustedKey?: string; readonly allowUnsigned?: boolean };

/** Whose versions are taken. */
export type ReaderTrust = {
  readonly trusted: ReadonlyMap<string, PublicKey>;
  /** Versions from before there were signatures are taken too. */
  readonly allowUnsigned: boolean;
  /** What to do about a key that is not among them. */
  readonly remedy: string;
};

/** What commander is told. */
export const trustFlags = [
  ['--trusted-key <keys>', 'take only what these public keys signed: base64, separated by commas (default: MW_TRUSTED_KEYS, or pinned)'],
  ['--allow-unsigned', 'take versions from before versions were signed'],
] as const;

/**
 * The keys that versions must be signed with: those that are given; else those of MW_TRUSTED_KEYS, and on the machine of the installation its own; else
 * those that the API named when it was first asked from here, which are kept. `say` hears of keys that are kept anew. Throws CommandError.
 */
export async function readerTrust(api: ApiClient, options: TrustOptions, say: (line: string) => void): Promise<ReaderTrust> {
  const of = (keys: readonly PublicKey[], remedy: string): ReaderTrust => ({
    trusted: new Map(keys.map((key) => [key.keyId, key])),
    allowUnsigned: options.allowUnsigned ?? false,
    remedy,
  });
  if (options.trustedKey !== undefined) {
    const given = parsed('--trusted-key', options.trustedKey);
    if (given.length === 0) throw new CommandError('--trusted-key is empty: give the base64 of a public key');
    return of(given, 'if you trust it, add its public key to --trusted-key');
  }
  const paths = resolvePaths(process.env);
  const known = knownKeys(paths);
  if (known.length > 0) return of(known, 'if you trust it, add its public key to MW_TRUSTED_KEYS');
  const file = join(paths.home, 'trusted-keys', `${sha256Hex(api.url).slice(0, 16)}.json`);
  const keys = parsed(file, (await pinned(file, api, say)).join(','));
  return of(
    keys,
    `${file} has the keys that ${api.url} had at the first use. If its operator says that they have changed, delete that file, or name the new one in --trusted-key`,
  );
}

function parsed(where: string, list: string): PublicKey[] {
  try {
    return parseTrustedKeys(list);
  } catch (error) {
    if (error instanceof KeyError) throw new CommandError(`${where} ${error.message}`);
    throw error;
  }
}

/** On the machine of the installation, without MW_URL, it is known whom that trusts. */
const knownKeys = (paths: Paths): readonly PublicKey[] =>
  process.env['MW_URL'] === undefined && existsSync(paths.secretsFile)
    ? [...loadConfig(process.env).signing.trusted.values()]
    : parsed('MW_TRUSTED_KEYS', parseSettings(process.env).MW_TRUSTED_KEYS);

type Pin = { readonly url: string; readonly keys: readonly string[] };
type KeysAnswer = { readonly items: readonly { readonly keyId: string; readonly publicKey: string }[] };

const readPin = async (file: string): Promise<readonly string[] | null> => {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (text === null) return null;
  try {
    const { keys } = JSON.parse(text) as Partial<Pin>;
    if (Array.isArray(keys) && keys.every((key) => typeof key === 'string')) return keys;
  } catch {
    // Said below.
  }
  throw new CommandError(`${file} is no list of trusted keys: mend it, or delete it to ask for them anew`);
};

/** The first of several at once decides. */
async function pinned(file: string, api: ApiClient, say: (line: string) => void): Promise<readonly string[]> {
  const before = await readPin(file);
  if (before) return before;
  const { items } = await api.call<KeysAnswer>('GET', '/v1/signing-keys');
  const pin: Pin = { url: api.url, keys: items.map(({ publicKey }) => publicKey) };
  const temporary = `${file}.${randomUUID()}`;
  await mkdir(join(file, '..'), { recursive: true, mode: 0o700 });
  try {
    await writeFile(temporary, `${JSON.stringify(pin)}\n`, { mode: 0o600, flush: true });
    await link(temporary, file);
    say(`trusting the signing keys of ${api.url} from now on: ${items.map(({ keyId }) => keyId).join(', ') || 'none'} (kept in ${file})`);
    return pin.keys;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return (await readPin(file)) ?? pin.keys;
  } finally {
    await rm(temporary, { force: true });
  }
}
