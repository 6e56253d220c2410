import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildCacheEntry } from '../local/cache-entry.ts';
import type { ProvisionContext } from '../local/provision-context.ts';
import { type TarEntry, type TarSink, writeTar } from './tar-archive.ts';

/** One layer in the cache: an uncompressed archive. Nothing is gained by packing what never leaves the machine. */
export type Layer = { readonly file: string; readonly digest: string; readonly bytes: number };

export type ImageConfig = {
  readonly Entrypoint: readonly string[];
  readonly Env: readonly string[];
  readonly User?: string;
  readonly WorkingDir?: string;
};
export type Image = { readonly name: string; readonly layers: readonly Layer[]; readonly config: ImageConfig };

/** What a layer is made of. `key` stands for its content: layers of the same name and key are the same. */
export type LayerSource = {
  readonly name: string;
  readonly key: string;
  readonly entries: (context: ProvisionContext, scratch: string) => Promise<readonly TarEntry[]>;
};

const layerFile = 'layer.tar';
const factsFile = 'layer.json';
/** For archives whose way of writing has changed. */
const format = '1';

export const layerFolder = (cache: string, { name, key }: Pick<LayerSource, 'name' | 'key'>): string =>
  join(cache, `image-layer-${name}-${format}-${key.slice(0, 12)}`);

/** Builds a layer, or takes it from the cache. */
export async function buildLayer(context: ProvisionContext, source: LayerSource): Promise<Layer> {
  const folder = layerFolder(context.paths.cache, source);
  await buildCacheEntry(context, folder, async (temporary) => {
    context.report(`layer ${source.name}`);
    const scratch = join(temporary, '.scratch');
    await mkdir(scratch);
    const entries = await source.entries(context, scratch);
    const hash = createHash('sha256');
    const file = await open(join(temporary, layerFile), 'w');
    let bytes = 0;
    try {
      await writeTar(entries, async (part) => {
        context.signal.throwIfAborted();
        hash.update(part);
        bytes += part.length;
        await file.write(part);
      });
    } finally {
      await file.close();
    }
    await rm(scratch, { recursive: true });
    await writeFile(join(temporary, factsFile), JSON.stringify({ digest: `sha256:${hash.digest('hex')}`, bytes }));
  });
  const { digest, bytes } = JSON.parse(await readFile(join(folder, factsFile), 'utf8')) as Pick<Layer, 'digest' | 'bytes'>;
  return { file: join(folder, layerFile), digest, bytes };
}

export const digestOf = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
/** Where a layout keeps what has the digest. */
export const blobPath = (digest: string): string => `blobs/${digest.replace(':', '/')}`;
const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** The documents of an image, by the rules of the Open Container Initiative. */
export function imageDocuments(image: Image): { readonly config: Buffer; readonly manifest: Buffer; readonly index: Buffer } {
  const platform = { architecture: architectures[process.arch] ?? process.arch, os: 'linux' };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const config = json({
    ...platform,
    config: image.config,
    rootfs: { type: 'layers', diff_ids: image.layers.map(({ digest }) => digest) },
  });
  const of = (mediaType: string, bytes: Buffer) => ({ mediaType, digest: digestOf(bytes), size: bytes.length });
  const manifestType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = json({
    schemaVersion: 2,
    mediaType: manifestType,
    config: of('application/vnd.oci.image.config.v1+json', config),
    layers: image.layers.map(({ digest, bytes }) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: bytes })),
  });
  const annotations = { 'io.containerd.image.name': image.name, 'org.opencontainers.image.ref.name': image.name.split(':').at(-1) ?? '' };
  const index = json({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [{ ...of(manifestType, manifest), annotations, platform }],
  });
  return { config, manifest, index };
}

/**
 * Writes the image as an archive of an OCI layout, which `ctr images import`, `skopeo` and `docker load` read; without the layers that the reader
 * `has`, by their digests.
 */
export async function writeImage(image: Image, sink: TarSink, has: ReadonlySet<string> = new Set()): Promise<void> {
  const { config, manifest, index } = imageDocuments(image);
  const blobs = [config, manifest].map((bytes) => ({ type: 'file' as const, path: blobPath(digestOf(bytes)), source: bytes }));
  const missing = image.layers.filter(({ digest }) => !has.has(digest));
  const layers = missing.map(({ digest, file }) => ({ type: 'file' as const, path: blobPath(digest), source: file }));
  await writeTar(
    [
      { type: 'file', path: 'oci-layout', source: Buffer.from('{"imageLayoutVersion":"1.0.0"}') },
      { type: 'file', path: 'index.json', source: index },
      ...blobs,
      ...layers,
    ],
    sink,
  );
}
