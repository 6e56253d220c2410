import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelManifest } from '../../core/model.ts';
import { baseManifestFile } from '../../store/base-manifest.ts';
import { parseStoredManifest, wholeManifest } from '../../store/model-manifest.ts';
import type { ApiClient } from '../api-client.ts';
import type { Screen } from '../screen.ts';
import { Addresses } from './addresses.ts';
import type { Part, Patience } from './fetch-part.ts';
import { folderParts, indexFile, manifestFile, tensorIndex } from './hugging-face-folder.ts';
import { type Pulled, pullParts } from './pull-parts.ts';
import { readManifest, readWhole } from './read-manifest.ts';
import type { ReaderTrust } from './trusted-keys.ts';
import { checkTrusted } from './trusted-manifest.ts';
import type { VersionReference } from './version-reference.ts';

/** Writes a version as a folder that plain transformers and safetensors load; `manifest.json` is there when all of it is. Nothing of one that is not trusted. */
export async function pullModel(
  api: ApiClient,
  reference: VersionReference,
  folder: string,
  screen: Screen,
  trust: ReaderTrust,
  patience?: Patience,
): Promise<Pulled & { readonly manifest: ModelManifest; readonly signedBy: string | null }> {
  const addresses = await Addresses.of(api, reference);
  const { stored, text } = await readManifest(addresses);
  const signedBy = checkTrusted(stored, reference, trust);
  const manifest = await readWhole(addresses, stored);
  const pulled = await pullParts(
    folder,
    {
      addresses,
      parts: folderParts(manifest),
      texts: [{ path: indexFile, text: tensorIndex(manifest) }],
      seal: { path: manifestFile, text },
      formerParts: (seal) => formerParts(seal, folder),
    },
    screen,
    patience,
  );
  return { ...pulled, manifest, signedBy };
}

/** A manifest.json that is not ours says nothing of what is in the folder. */
async function formerParts(seal: string, folder: string): Promise<readonly Part[]> {
  try {
    return folderParts(
      await wholeManifest((base) => readFile(join(folder, baseManifestFile(base))), parseStoredManifest(await readFile(seal), seal)),
    );
  } catch {
    return [];
  }
}
