import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { ModelManifest, StoredManifest } from '../../core/model.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { baseManifestFile } from '../../store/base-manifest.ts';
import { parseStoredManifest, wholeManifest } from '../../store/model-manifest.ts';
import type { ApiClient } from '../api-client.ts';
import { CommandError } from '../command.ts';
import { Addresses } from '../pull/addresses.ts';
import { folderParts, indexFile, manifestFile, tensorIndex } from '../pull/hugging-face-folder.ts';
import { Progress } from '../pull/progress.ts';
import { readManifest, readWhole } from '../pull/read-manifest.ts';
import type { ReaderTrust } from '../pull/trusted-keys.ts';
import { UntrustedVersion, checkTrusted, signedWords } from '../pull/trusted-manifest.ts';
import type { VersionReference } from '../pull/version-reference.ts';
import type { Screen } from '../screen.ts';
import { bytes, count } from '../wording.ts';
import { folderSource, storeSource } from './part-source.ts';
import { type Fault, verifyParts } from './verify-parts.ts';

export type VerifiedVersion = VersionReference & {
  readonly ok: boolean;
  /** Null: the store. */
  readonly folder: string | null;
  /** Sites of the store that were read; empty where it has one, and for a folder. */
  readonly sites: readonly string[];
  readonly shards: number;
  readonly files: number;
  readonly tensors: number;
  readonly bytes: number;
  /** The trusted key whose signature is good; null: there is none, or it is not trusted. */
  readonly signedBy: string | null;
  readonly faults: readonly Fault[];
};

/**
 * Reads all of a version, in the store or in a folder that it was pulled into, and compares it with the digests that the registry vouches for, and its
 * signature with the keys that are trusted. `onlySite`: of a store on two sites, this one; null: both, for each may be damaged where the other is whole.
 */
export async function verifyVersion(
  api: ApiClient,
  reference: VersionReference,
  folder: string | null,
  screen: Screen,
  trust: ReaderTrust,
  onlySite: string | null = null,
): Promise<VerifiedVersion> {
  const addresses = await Addresses.of(api, reference);
  const faults: Fault[] = [];
  const sites = sitesToRead(addresses, folder, onlySite);
  const whole = { ...reference, folder: folder === null ? null : resolve(folder), sites };
  const stored = await manifestOf(addresses, folder, faults);
  let signedBy: string | null = null;
  const nothing = { shards: 0, files: 0, tensors: 0, bytes: 0 };
  if (!stored) return { ...whole, ok: false, ...nothing, signedBy, faults };
  try {
    signedBy = checkTrusted(stored, reference, trust);
  } catch (error) {
    if (!(error instanceof UntrustedVersion)) throw error;
    faults.push({ path: manifestFile, what: 'untrusted', detail: error.message, tensors: [] });
  }
  const manifest = await wholeOf(addresses, stored, folder, faults);
  if (!manifest) return { ...whole, ok: false, ...nothing, signedBy, faults };
  // In the store, shards have no numbers.
  const keys = new Map(
    folder === null ? [...manifest.shards, ...(manifest.base ? [manifest.base] : [])].map(({ sha256, key }) => [sha256, key]) : [],
  );
  const parts = folderParts(manifest).map((part) => ({ ...part, path: keys.get(part.sha256) ?? part.path }));
  const total = parts.reduce((sum, part) => sum + part.bytes, 0);
  const progress = new Progress(screen, 'verifying', total * Math.max(1, sites.length));
  if (sites.length === 0) {
    const read = folder === null ? storeSource(addresses) : folderSource(folder);
    faults.push(...(await verifyParts(manifest, parts, read, (part) => progress.reached(part.path, part.bytes))));
  }
  const withManifest = [...parts, { path: manifestFile, ...addresses.manifest }];
  for (const site of sites) {
    const found = await verifyParts(manifest, withManifest, storeSource(addresses, site), (part) =>
      progress.reached(`${site} ${part.path}`, part.bytes),
    );
    faults.push(...found.map((fault) => ({ ...fault, site })));
  }
  if (folder !== null) {
    const index = await readFile(join(folder, indexFile), 'utf8').catch(() => null);
    if (index !== tensorIndex(manifest)) faults.push(ofText(indexFile, index, 'does not say where the tensors of this version are'));
  }
  const { shards, files, tensors } = manifest;
  const counts = { shards: shards.length, files: files.length, tensors: Object.keys(tensors).length, bytes: total };
  return { ...whole, ok: faults.length === 0, ...counts, signedBy, faults };
}

function sitesToRead({ siteNames }: Addresses, folder: string | null, onlySite: string | null): readonly string[] {
  if (onlySite === null) return folder === null ? siteNames : [];
  if (folder !== null) throw new CommandError('--site is a site of the store: it says nothing about a folder');
  if (siteNames.includes(onlySite)) return [onlySite];
  throw new CommandError(siteNames.length === 0 ? 'the store has one site: leave --site out' : `--site is one of ${siteNames.join(', ')}`);
}

const ofText = (path: string, found: string | null, detail: string): Fault => ({
  path,
  tensors: [],
  ...(found === null ? { what: 'missing', detail: 'is not there' } : { what: 'damaged', detail }),
});

/** The folder's own, where it is the one that was published; else the store's. */
async function manifestOf(addresses: Addresses, folder: string | null, faults: Fault[]): Promise<StoredManifest | null> {
  if (folder !== null) {
    const text = await readFile(join(folder, manifestFile), 'utf8').catch(() => null);
    if (text !== null && sha256Hex(text) === addresses.manifest.sha256) return parseStoredManifest(Buffer.from(text), manifestFile);
    faults.push(ofText(manifestFile, text, 'is not the manifest of this version'));
  }
  try {
    return (await readManifest(addresses)).stored;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    faults.push({ path: manifestFile, what: 'damaged', detail: error.message, tensors: [] });
    return null;
  }
}

/** Whether everything that is wrong is so on one of the sites only. */
const namedOnce = (faults: readonly Fault[]): boolean =>
  new Set(faults.map(({ path }) => path)).size === faults.length && faults.every(({ site }) => site !== undefined);

/** With what it has from its base model, by the folder's own manifest of that where it is right; else by the store's, and the folder's is one of the parts that are looked at. */
async function wholeOf(
  addresses: Addresses,
  stored: StoredManifest,
  folder: string | null,
  faults: Fault[],
): Promise<ModelManifest | null> {
  try {
    if (folder !== null) return await wholeManifest((base) => readFile(join(folder, baseManifestFile(base))), stored);
  } catch {
    // Damaged, or not there: its part says so.
  }
  try {
    return await readWhole(addresses, stored);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    faults.push({ path: stored.base?.key ?? manifestFile, what: 'damaged', detail: error.message, tensors: [] });
    return null;
  }
}

const namedTensors = 5;

/** The outcome as lines for people. */
export function verifiedLines(result: VerifiedVersion): string[] {
  const { customization, version, folder, faults, ok, signedBy } = result;
  const what = `${count(result.shards)} shards with ${count(result.tensors)} tensors, ${count(result.files)} files, ${bytes(result.bytes)}`;
  const where = `v${version} of ${customization} ${folder === null ? 'in the store' : `in ${folder}`}`;
  const read = result.sites.length === 0 ? '' : ` (read on the ${result.sites.join(' and the ')} site)`;
  if (ok) return [`ok: ${where}${read}: ${what}, manifest: every SHA-256 is right, ${signedWords(signedBy)}`];
  const untrusted = faults.every(({ what }) => what === 'untrusted');
  const remedy = untrusted
    ? 'every SHA-256 is right'
    : folder === null
      ? result.sites.length > 1 && namedOnce(faults)
        ? 'the other site has it right: tell the operator, whose `./mw store scrub` brings it from there'
        : 'tell the operator, who can repair the store; other versions may be whole'
      : `\`./mw pull ${customization}@v${version} ${folder}\` fetches what is wrong`;
  return [
    `NOT OK: ${where}${read}: ${what}`,
    ...faults.map(({ path, site, what: kind, detail, tensors }) => {
      const named = `${tensors.slice(0, namedTensors).join(', ')}${tensors.length > namedTensors ? `, and ${tensors.length - namedTensors} more` : ''}`;
      return `  ${kind.padEnd(10)} ${path} ${site === undefined ? '' : `on the ${site} site `}${detail}${tensors.length > 0 ? `; tensors: ${named}` : ''}`;
    }),
    `  ${remedy}`,
  ];
}
