import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { type IncomingMessage, get as getByHttp } from 'node:http';
import { get as getByHttps } from 'node:https';
import { join, resolve, sep } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ModelManifest } from '../core/model.ts';
import { sha256Hex } from '../platform/hash.ts';
import type { ApiClient } from './api-client.ts';
import type { ModelVersion, Page } from './api-types.ts';
import { CommandError, type RegisterCommand } from './command.ts';
import { tenantClient } from './credentials.ts';
import { Screen, bar } from './screen.ts';
import { bytes } from './wording.ts';

type Download = { readonly sha256: string; readonly bytes: number; readonly url: string };

/** Downloads at once. */
const parallel = 4;

/** Index of a Hugging Face folder: which file holds a tensor. */
export function tensorIndex(manifest: ModelManifest): { readonly index: string; readonly shardNames: ReadonlyMap<string, string> } {
  const total = String(manifest.shards.length).padStart(5, '0');
  const shardNames = new Map(
    manifest.shards.map(({ sha256 }, i) => [sha256, `model-${String(i + 1).padStart(5, '0')}-of-${total}.safetensors`] as const),
  );
  const tensors = Object.entries(manifest.tensors).sort(([a], [b]) => (a < b ? -1 : 1));
  const index = {
    metadata: { total_size: tensors.reduce((sum, [, tensor]) => sum + tensor.bytes, 0) },
    weight_map: Object.fromEntries(tensors.map(([name, { shard }]) => [name, shardNames.get(shard)])),
  };
  return { index: `${JSON.stringify(index, null, 2)}\n`, shardNames };
}

/** Writes a version as a folder that plain transformers and safetensors load. Files that are there and right are not fetched again. */
export async function pullModel(
  api: ApiClient,
  customization: string,
  version: number,
  folder: string,
  screen: Screen,
): Promise<ModelManifest> {
  const base = `/v1/customizations/${customization}/models/${version}`;
  const manifest = await api.call<ModelManifest>('GET', `${base}/manifest`);
  const { items } = await api.call<{ readonly items: readonly Download[] }>('GET', `${base}/files`);
  const { index, shardNames } = tensorIndex(manifest);
  const wanted = [...manifest.shards.map((shard) => ({ ...shard, path: shardNames.get(shard.sha256) ?? shard.sha256 })), ...manifest.files];
  const total = wanted.reduce((sum, part) => sum + part.bytes, 0);
  let done = 0;
  const advance = (by: number): void => {
    done += by;
    screen.changing('pull', `  pulling ${bar(done, total)} of ${bytes(total)}`);
  };
  const target = resolve(folder);
  await mkdir(target, { recursive: true });
  const queue = [...wanted];
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      for (let part = queue.shift(); part; part = queue.shift()) {
        const path = resolve(target, part.path);
        if (!path.startsWith(`${target}${sep}`)) throw new CommandError(`the manifest names a file outside the folder: ${part.path}`);
        if (await holds(path, part.sha256)) {
          advance(part.bytes);
          continue;
        }
        const { sha256 } = part;
        const source = items.find((item) => item.sha256 === sha256);
        if (!source) throw new CommandError(`the API names no address for ${part.path}`);
        await download(source, path, advance);
      }
    }),
  );
  await writeFile(join(target, 'model.safetensors.index.json'), index);
  await writeFile(join(target, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

async function holds(path: string, sha256: string): Promise<boolean> {
  const found = await readFile(path).catch(() => null);
  return found !== null && sha256Hex(found) === sha256;
}

/** The answer to a GET. Not by `fetch`: Node's fails an assertion of its own when a server closes the connection while the reader is slow. */
async function openStream(url: string): Promise<IncomingMessage> {
  const get = url.startsWith('https:') ? getByHttps : getByHttp;
  const response = await new Promise<IncomingMessage>((answered, failed) => get(url, answered).once('error', failed));
  if (response.statusCode === 200) return response;
  response.resume();
  throw new CommandError(`the store answered ${response.statusCode ?? 0}: ask again, the addresses are valid for a short time`);
}

async function download({ url, sha256 }: Download, path: string, advance: (bytes: number) => void): Promise<void> {
  const response = await openStream(url);
  const hash = createHash('sha256');
  const hashing = new Transform({
    transform: (chunk: Buffer, _encoding, next) => {
      hash.update(chunk);
      advance(chunk.byteLength);
      next(null, chunk);
    },
  });
  await pipeline(response, hashing, createWriteStream(`${path}.part`));
  if (hash.digest('hex') !== sha256) throw new CommandError(`${path} arrived damaged: its SHA-256 is not ${sha256}`);
  await rename(`${path}.part`, path);
}

/** `news@production`, `news@v3` or `news` (production). */
async function versionOf(api: ApiClient, reference: string): Promise<{ customization: string; version: number }> {
  const [customization = '', name = 'production'] = reference.split('@');
  const number = /^v?([0-9]+)$/.exec(name)?.[1];
  if (number !== undefined) return { customization, version: Number(number) };
  const { items } = await api.call<Page<ModelVersion>>('GET', `/v1/customizations/${customization}/models?limit=1000`);
  const found = items.find(({ aliases }) => aliases.includes(name));
  if (!found) throw new CommandError(`${customization} has no version that is ${name}`);
  return { customization, version: found.version };
}

export const registerPull: RegisterCommand = (program) => {
  program
    .command('pull')
    .description('write a version as a folder that plain transformers loads')
    .argument('<customization[@version]>', 'such as news, news@production or news@v3')
    .argument('<folder>')
    .action(async (reference: string, folder: string) => {
      const api = tenantClient();
      const screen = new Screen(process.stdout.isTTY);
      const { customization, version } = await versionOf(api, reference);
      const manifest = await pullModel(api, customization, version, folder, screen);
      screen.line(
        `v${version} of ${customization}: ${Object.keys(manifest.tensors).length} tensors, every SHA-256 checked, in ${resolve(folder)}`,
      );
    });
};
