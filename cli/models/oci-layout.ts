import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelFile, ModelManifest } from '../../core/model.ts';
import { baseManifestFile } from '../../store/base-manifest.ts';
import { blobPath, digestOf } from '../../infra/images/oci-image.ts';
import type { ApiClient } from '../api-client.ts';
import { CommandError } from '../command.ts';
import { Addresses } from '../pull/addresses.ts';
import { folderParts, indexFile, manifestFile, tensorIndex } from '../pull/hugging-face-folder.ts';
import { type Pulled, pullParts } from '../pull/pull-parts.ts';
import { readManifest, readWhole } from '../pull/read-manifest.ts';
import type { ReaderTrust } from '../pull/trusted-keys.ts';
import { checkTrusted } from '../pull/trusted-manifest.ts';
import type { VersionReference } from '../pull/version-reference.ts';
import type { Screen } from '../screen.ts';

/** Media types of the CNCF's ModelPack specification. */
const types = {
  artifact: 'application/vnd.cncf.model.manifest.v1+json',
  config: 'application/vnd.cncf.model.config.v1+json',
  weights: 'application/vnd.cncf.model.weight.v1.raw',
  weightConfig: 'application/vnd.cncf.model.weight.config.v1.raw',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
} as const;
const precisions: Readonly<Record<string, string>> = {
  F32: 'float32',
  F64: 'float64',
  F16: 'float16',
  BF16: 'bfloat16',
  I8: 'int8',
  U8: 'uint8',
  I64: 'int64',
};
const weightRoles: readonly ModelFile['role'][] = ['encoder-onnx', 'decoder-onnx'];

type Layer = { readonly path: string; readonly mediaType: string; readonly digest: string; readonly bytes: number };

/** The documents of a ModelPack artifact whose layers are the files of a pulled folder, as they are: shards keep their digests in a registry. */
export function modelPack(manifest: ModelManifest, text: string): { readonly index: string; readonly blobs: readonly Buffer[] } {
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const { base } = manifest;
  const names = new Set([
    ...manifest.files.filter(({ role }) => !weightRoles.includes(role)).map(({ path }) => path),
    ...(base ? [baseManifestFile(base)] : []),
  ]);
  const texts = [
    { path: indexFile, content: Buffer.from(tensorIndex(manifest)) },
    { path: manifestFile, content: Buffer.from(text) },
  ];
  const layers: Layer[] = [
    ...folderParts(manifest).map(({ path, sha256, bytes }) => ({
      path,
      mediaType: names.has(path) ? types.weightConfig : types.weights,
      digest: `sha256:${sha256}`,
      bytes,
    })),
    ...texts.map(({ path, content }) => ({ path, mediaType: types.weightConfig, digest: digestOf(content), bytes: content.byteLength })),
  ];
  const dtypes = new Set(Object.values(manifest.tensors).map(({ dtype }) => precisions[dtype] ?? dtype.toLowerCase()));
  const config = json({
    descriptor: {
      createdAt: manifest.createdAt,
      family: manifest.businessModel.id,
      name: manifest.customizationId,
      version: `v${manifest.version}`,
    },
    config: { format: 'safetensors', precision: [...dtypes].sort().join(',') },
    modelfs: { type: 'layers', diffIds: layers.map(({ digest }) => digest) },
  });
  const artifact = json({
    schemaVersion: 2,
    mediaType: types.manifest,
    artifactType: types.artifact,
    config: { mediaType: types.config, digest: digestOf(config), size: config.byteLength },
    layers: layers.map(({ path, mediaType, digest, bytes }) => ({
      mediaType,
      digest,
      size: bytes,
      annotations: { 'org.cncf.model.filepath': path },
    })),
  });
  const index = {
    schemaVersion: 2,
    mediaType: types.index,
    manifests: [
      {
        mediaType: types.manifest,
        artifactType: types.artifact,
        digest: digestOf(artifact),
        size: artifact.byteLength,
        annotations: { 'org.opencontainers.image.ref.name': `v${manifest.version}` },
      },
    ],
  };
  return { index: JSON.stringify(index), blobs: [...texts.map(({ content }) => content), config, artifact] };
}

/** Writes a version as an OCI image layout, which `skopeo copy oci:DIR:vN docker://...` or `oras cp --from-oci-layout` take to a registry. */
export async function exportLayout(
  api: ApiClient,
  reference: VersionReference,
  folder: string,
  screen: Screen,
  trust: ReaderTrust,
): Promise<Pulled> {
  const addresses = await Addresses.of(api, reference);
  const { stored, text } = await readManifest(addresses);
  checkTrusted(stored, reference, trust);
  const manifest = await readWhole(addresses, stored);
  const { index, blobs } = modelPack(manifest, text);
  const other = await readFile(join(folder, 'index.json'), 'utf8').catch(() => index);
  if (other !== index) throw new CommandError(`${folder} is the layout of something else: choose another folder`);
  const digests = new Map(folderParts(manifest).map(({ sha256, bytes }) => [sha256, bytes]));
  return await pullParts(
    folder,
    {
      addresses,
      parts: [...digests].map(([sha256, bytes]) => ({ path: blobPath(`sha256:${sha256}`), sha256, bytes })),
      texts: [
        { path: 'oci-layout', text: '{"imageLayoutVersion":"1.0.0"}' },
        ...blobs.map((blob) => ({ path: blobPath(digestOf(blob)), text: blob.toString('utf8') })),
      ],
      seal: { path: 'index.json', text: index },
      formerParts: () => Promise.resolve([]),
    },
    screen,
  );
}
