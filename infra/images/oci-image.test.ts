import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Image, writeImage } from './oci-image.ts';

type Described = { readonly digest: string; readonly size: number };

describe('an image', () => {
  let folder: string;
  let image: Image;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'mw-oci-'));
    const file = join(folder, 'layer.tar');
    const bytes = Buffer.alloc(1024);
    writeFileSync(file, bytes);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    image = { name: 'docker.io/modelwright/x:1', layers: [{ file, digest, bytes: 1024 }], config: { Entrypoint: ['/x'], Env: [] } };
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const archive = async (has?: ReadonlySet<string>) => {
    const parts: Buffer[] = [];
    await writeImage(image, async (bytes) => void parts.push(Buffer.from(bytes)), has);
    const input = Buffer.concat(parts);
    const tar = (args: readonly string[]): Buffer => execFileSync('tar', [...args, '--file', '-'], { input });
    const names = tar(['--list']).toString().trim().split('\n');
    const read = (name: string): Buffer => execFileSync('tar', ['--extract', '--to-stdout', '--file', '-', name], { input });
    return { names, read, blob: ({ digest }: Described): Buffer => read(`blobs/${digest.replace(':', '/')}`) };
  };

  it('is a layout in which every document is found by its digest and size', async () => {
    const { read, blob } = await archive();
    const check = (described: Described): Buffer => {
      const bytes = blob(described);
      expect(bytes.length).toBe(described.size);
      expect(`sha256:${createHash('sha256').update(bytes).digest('hex')}`).toBe(described.digest);
      return bytes;
    };
    const index = JSON.parse(read('index.json').toString()) as { manifests: (Described & { annotations: Record<string, string> })[] };
    const [first] = index.manifests;
    if (first === undefined) throw new Error('the index names no manifest');
    expect(first.annotations['io.containerd.image.name']).toBe(image.name);
    const manifest = JSON.parse(check(first).toString()) as { config: Described; layers: Described[] };
    const config = JSON.parse(check(manifest.config).toString()) as { config: object; rootfs: { diff_ids: string[] } };
    for (const layer of manifest.layers) check(layer);
    expect(config.config).toEqual(image.config);
    expect(config.rootfs.diff_ids).toEqual(manifest.layers.map(({ digest }) => digest));
  });

  it('is sent without the layers that the reader has', async () => {
    const digest = image.layers[0]?.digest ?? '';
    const path = `blobs/${digest.replace(':', '/')}`;
    expect((await archive()).names).toContain(path);
    const { names } = await archive(new Set([digest]));
    expect(names).not.toContain(path);
    expect(names).toContain('index.json');
  });
});
