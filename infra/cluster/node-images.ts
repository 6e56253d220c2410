import { spawn } from 'node:child_process';
import { globSync, readFileSync, statSync } from 'node:fs';
import { copyFile, link, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { sha256Hex } from '../../platform/hash.ts';
import { type Image, buildLayer, writeImage } from '../images/oci-image.ts';
import { buildCacheEntry, isComplete } from '../local/cache-entry.ts';
import type { ProvisionContext } from '../local/provision-context.ts';
import { runCommand } from '../local/run-command.ts';
import { programFile, programFolder } from './binaries.ts';
import { endDaemon, mustRun, startDaemon } from './daemon.ts';
import { pauseImage } from './node-config.ts';
import type { ClusterPlace } from './place.ts';
import { waitFor } from './wait-for.ts';

/** A shell and the usual small programs, for tests. */
export const busyboxImage = 'docker.io/modelwright/busybox:1';

const kubernetesNamespace = 'k8s.io';
const importerName = 'image-import';
const readyDeadlineMs = 60_000;
const stopDeadlineMs = 30_000;
/** Kubelet removes no image that bears it. */
const pinned = 'io.cri-containerd.pinned=pinned';

/** The two small images that every node has. */
async function basicImages(context: ProvisionContext): Promise<Image[]> {
  const { paths } = context;
  const busybox = globSync(join(programFolder(paths, 'debian'), '{usr/,}bin/busybox'))[0] ?? '';
  const pause = await buildLayer(context, {
    name: 'pause',
    key: sha256Hex(programFolder(paths, 'pause')),
    entries: async () => [{ type: 'file', path: 'pause', source: programFile(paths, 'pause', 'pause'), executable: true }],
  });
  const shell = await buildLayer(context, {
    name: 'busybox',
    key: sha256Hex(programFolder(paths, 'debian')),
    entries: async () => {
      const names = (await runCommand(busybox, ['--list'])).split('\n').filter((name) => name !== '' && name !== 'busybox');
      return [
        { type: 'file', path: 'bin/busybox', source: busybox, executable: true },
        ...names.map((name) => ({ type: 'link' as const, path: `bin/${name}`, target: 'busybox' })),
        { type: 'file', path: 'etc/passwd', source: Buffer.from('root:x:0:0:root:/root:/bin/sh\n') },
        ...['dev', 'proc', 'root', 'sys'].map((path) => ({ type: 'folder' as const, path })),
        { type: 'folder', path: 'tmp', mode: 0o1777 },
      ];
    },
  });
  return [
    { name: pauseImage, layers: [pause], config: { Entrypoint: ['/pause'], Env: [], User: '65535:65535' } },
    { name: busyboxImage, layers: [shell], config: { Entrypoint: [], Env: ['PATH=/bin'] } },
  ];
}

const templatePrefix = 'cluster-nodes-';
const keptTemplates = 3;
const layersFile = 'layers.json';
const digestOf = ({ name, layers, config }: Image): string => JSON.stringify([name, layers.map(({ digest }) => digest), config]);

/**
 * A container runtime's folder that holds the images, unpacked; nodes start with copies of it by hard links, in a second instead of a minute. What an
 * older one had unpacked is taken over, so that a change of the trainer's code costs the last layer only.
 */
export async function nodeTemplate(context: ProvisionContext, place: ClusterPlace, images: readonly Image[]): Promise<string> {
  const { paths, signal } = context;
  const all = [...(await basicImages(context)), ...images];
  const key = sha256Hex([basename(programFolder(paths, 'containerd')), ...all.map(digestOf)].join('\0'));
  const folder = join(paths.cache, `${templatePrefix}${key.slice(0, 12)}`);
  await buildCacheEntry(context, folder, async (temporary) => {
    context.report('unpacking images (once)');
    const layers = all.flatMap((image) => image.layers.map(({ digest }) => digest));
    const before = await templates(paths.cache);
    const older = mostAlike(before, layers);
    const root = join(temporary, 'containerd');
    await (older === null ? mkdir(root) : copyTemplate(older.folder, root, signal));
    await importInto(context, place, root, all);
    for (const image of all) await linkBlobs(root, image);
    await rm(join(root, 'io.containerd.grpc.v1.introspection'), { recursive: true, force: true });
    // Running nodes keep what they have: it is theirs by hard links. Another checkout of the project may use one that is not the newest.
    for (const { folder } of before.slice(keptTemplates - 1)) await rm(folder, { recursive: true, force: true });
    await writeFile(join(temporary, layersFile), JSON.stringify(layers));
  });
  return folder;
}

type Template = { readonly folder: string; readonly layers: readonly string[] };

/** The newest first. */
async function templates(cache: string): Promise<Template[]> {
  const folders = (await readdir(cache))
    .filter((name) => name.startsWith(templatePrefix) && !name.includes('.'))
    .map((name) => join(cache, name));
  const complete = folders.filter(isComplete).map((folder) => ({ folder, at: statSync(folder).mtimeMs }));
  return complete
    .sort((a, b) => b.at - a.at)
    .map(({ folder }) => ({ folder, layers: JSON.parse(readFileSync(join(folder, layersFile), 'utf8')) as string[] }));
}

/** The one that has most of the wanted layers, and of those the one with the fewest others. */
export function mostAlike(templates: readonly Template[], wanted: readonly string[]): Template | null {
  const shared = ({ layers }: Template): number => layers.filter((digest) => wanted.includes(digest)).length;
  return templates.toSorted((a, b) => shared(b) - shared(a) || a.layers.length - b.layers.length)[0] ?? null;
}

/** Copies a template's folder to `target`. Databases are written in place and must not be shared; all other files are only ever replaced. */
export async function copyTemplate(template: string, target: string, signal: AbortSignal): Promise<void> {
  const from = join(template, 'containerd');
  await rm(target, { recursive: true, force: true });
  try {
    await runCommand('cp', ['--archive', '--link', from, target], { signal });
  } catch {
    // Another file system than the cache's.
    signal.throwIfAborted();
    await rm(target, { recursive: true, force: true });
    await runCommand('cp', ['--archive', from, target], { signal });
  }
  for (const file of globSync('*/*.db', { cwd: target })) {
    await copyFile(join(from, file), join(target, `${file}.new`));
    await rename(join(target, `${file}.new`), join(target, file));
  }
}

async function importInto(context: ProvisionContext, place: ClusterPlace, root: string, images: readonly Image[]): Promise<void> {
  const { paths, signal } = context;
  const folder = join(place.home, importerName);
  const socket = join(folder, 'containerd.sock');
  await mkdir(folder, { recursive: true });
  const config = join(folder, 'containerd.toml');
  const noPods = ['io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime', 'io.containerd.nri.v1.nri'];
  const quoted = (text: string): string => JSON.stringify(text);
  const lines = [
    'version = 3',
    `root = ${quoted(root)}`,
    `state = ${quoted(join(folder, 'state'))}`,
    `disabled_plugins = ${JSON.stringify(noPods)}`,
    '[grpc]',
    `address = ${quoted(socket)}`,
    '[ttrpc]',
    `address = ${quoted(`${socket}.ttrpc`)}`,
    "[plugins.'io.containerd.internal.v1.opt']",
    `path = ${quoted(join(folder, 'opt'))}`,
  ];
  await writeFile(config, `${lines.join('\n')}\n`);
  const containerd = programFile(paths, 'containerd', 'containerd');
  // Mounts of its own: layers are mounted while they are unpacked. No pods run here, so that it needs nothing else.
  startDaemon(place, { name: importerName, command: 'unshare', args: ['--mount', containerd, '--config', config] });
  try {
    await waitFor('the container runtime that unpacks images was not ready', readyDeadlineMs, signal, async () => {
      mustRun(place, importerName);
      await runCommand(programFile(paths, 'containerd', 'ctr'), ['--address', socket, 'version'], { signal });
      return true;
    });
    for (const image of images) {
      context.report(`unpacking ${image.name.split('/').at(-1)}`);
      await importImage(context, socket, image);
    }
    const wanted = new Set(images.map(({ name }) => name));
    const ctr = (args: readonly string[]): Promise<string> => runCtr(context, socket, args);
    for (const name of (await ctr(['images', 'list', '--quiet'])).split('\n')) {
      if (name !== '' && !wanted.has(name)) await ctr(['images', 'remove', '--sync', name]);
    }
  } finally {
    await endDaemon(place, importerName, stopDeadlineMs);
    await rm(folder, { recursive: true, force: true });
  }
}

const runCtr = ({ paths, signal }: ProvisionContext, socket: string, args: readonly string[]): Promise<string> =>
  runCommand(programFile(paths, 'containerd', 'ctr'), ['--address', socket, '--namespace', kubernetesNamespace, ...args], { signal });

/** The cached layers take the place of the runtime's copies of them. */
async function linkBlobs(root: string, image: Image): Promise<void> {
  for (const { file, digest } of image.layers) {
    const blob = join(root, 'io.containerd.content.v1.content/blobs/sha256', digest.replace('sha256:', ''));
    // On another file system the copy stays.
    await link(file, `${blob}.new`).then(
      () => rename(`${blob}.new`, blob),
      () => undefined,
    );
  }
}

/** Puts an image into a running container runtime. */
export async function importImage(context: ProvisionContext, socket: string, image: Image): Promise<void> {
  // Layers that it has are not sent again: of the trainer's 2 GB, only its own code changes often.
  const has = new Set((await runCtr(context, socket, ['content', 'list', '--quiet'])).split('\n'));
  const ctr = programFile(context.paths, 'containerd', 'ctr');
  const args = ['--address', socket, '--namespace', kubernetesNamespace, 'images', 'import', '--local', '-'];
  const child = spawn(ctr, args, { stdio: ['pipe', 'ignore', 'pipe'], signal: context.signal });
  let said = '';
  child.stderr.on('data', (part: Buffer) => (said += part.toString('utf8')));
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  // It may end before it has read all: its own words say why.
  child.stdin.on('error', () => undefined);
  await writeImage(
    image,
    async (bytes) => {
      if (!child.stdin.writable) return;
      await new Promise<void>((resolve) => child.stdin.write(bytes, () => resolve()));
    },
    has,
  );
  child.stdin.end();
  const status = await ended;
  if (status !== 0) throw new Error(`the image ${image.name} could not be imported: ${said.trim().slice(-500)}`);
  await runCtr(context, socket, ['images', 'label', image.name, pinned]);
}
