import { existsSync, globSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { sha256Hex } from '../../platform/hash.ts';
import { type Paths, projectDir } from '../../platform/paths.ts';
import { isComplete } from '../local/cache-entry.ts';
import type { ProvisionContext, Provisioner } from '../local/provision-context.ts';
import { trainerProvisioners } from '../local/provisioners.ts';
import { type Image, type Layer, type LayerSource, buildLayer, layerFolder } from './oci-image.ts';
import { packagesEntries, pythonEntries } from './python-layers.ts';
import { folderEntries } from './tar-archive.ts';
import { trainerImageConfig, trainerLayout } from './trainer-layout.ts';

const inImage = (path: string): string => path.slice(1);
const digestOfAll = (parts: readonly string[]): string => sha256Hex(parts.join('\0'));
/** For layers whose content is chosen otherwise than before. */
const contentVersion = '2';

/** Environment of the Python that trains: a virtual one. */
const environmentOf = (paths: Paths): string => dirname(dirname(paths.trainerPython));

/** What decides the environment's content: versions, not folders of this machine. */
function environmentKey(paths: Paths): string {
  const file = join(environmentOf(paths), 'pyvenv.cfg');
  if (!existsSync(file)) {
    throw new Error(`${environmentOf(paths)} is no Python environment of the trainer: run \`./mw up\` once, or correct MW_TRAINER_PYTHON`);
  }
  const version = /^version\s*=\s*(\S+)/m.exec(readFileSync(file, 'utf8'))?.[1] ?? '';
  return digestOfAll([contentVersion, process.arch, version, readFileSync(join(projectDir, 'trainer/requirements.txt'), 'utf8')]);
}

/** The digests of a model's files stand in its modelwright.json. */
function modelsKey({ modelsDir }: Paths): string {
  const names = existsSync(modelsDir) ? readdirSync(modelsDir).sort() : [];
  const facts = names.filter((name) => existsSync(join(modelsDir, name, 'modelwright.json')));
  return digestOfAll([contentVersion, ...facts.flatMap((name) => [name, readFileSync(join(modelsDir, name, 'modelwright.json'), 'utf8')])]);
}

const ownFiles = (): string[] => globSync(['trainer/modelwright_trainer/**/*.py', 'catalog/*/*.py'], { cwd: projectDir }).sort();

/** From what changes seldom to what changes often: a change of the trainer's code builds the last one anew. */
function layerSources(paths: Paths): LayerSource[] {
  const environment = environmentKey(paths);
  const files = ownFiles();
  return [
    { name: 'python', key: environment, entries: pythonEntries },
    { name: 'packages', key: environment, entries: packagesEntries },
    {
      name: 'models',
      key: modelsKey(paths),
      // Graphs are for serving.
      entries: () =>
        folderEntries(
          paths.modelsDir,
          inImage(trainerLayout.models),
          (path) => !path.endsWith('.onnx') && !path.split('/').at(-1)?.startsWith('.'),
        ),
    },
    {
      name: 'trainer',
      key: digestOfAll(files.flatMap((file) => [file, readFileSync(join(projectDir, file), 'utf8')])),
      entries: async () =>
        files.map((file) => {
          const [folder = '', ...rest] = file.split('/');
          const target = folder === 'catalog' ? trainerLayout.catalog : trainerLayout.trainer;
          return { type: 'file' as const, path: inImage(join(target, ...rest)), source: join(projectDir, file) };
        }),
    },
  ];
}

/** The image's name, by what its layers are made of; nothing is built. Jobs on a cluster whose nodes were given the image run it under this name. */
export const trainerImageName = (paths: Paths): string => nameOf(layerSources(paths));

const nameOf = (sources: readonly LayerSource[]): string =>
  `docker.io/modelwright/trainer:${digestOfAll([JSON.stringify(trainerImageConfig), ...sources.flatMap(({ name, key }) => [name, key])]).slice(0, 16)}`;

/** Builds the layers that are missing in the cache. About 1.3 GB of packages, 0.4 GB of models, 0.1 GB of Python and its libraries. */
export const trainerImageProvisioner: Provisioner = {
  name: 'Trainer image',
  version: '1',
  ready: async ({ paths }) => {
    if (!existsSync(join(environmentOf(paths), 'pyvenv.cfg'))) return false;
    return layerSources(paths).every((source) => isComplete(layerFolder(paths.cache, source)));
  },
  provision: async (context) => {
    // Python and packages first: models are finished with them.
    for (const provisioner of trainerProvisioners) await provisioner.provision(context);
    for (const source of layerSources(context.paths)) await buildLayer(context, source);
  },
};

/** The image of whatever the project and the cache hold now. */
export async function trainerImage(context: ProvisionContext): Promise<Image> {
  await trainerImageProvisioner.provision(context);
  const sources = layerSources(context.paths);
  const layers: Layer[] = [];
  for (const source of sources) layers.push(await buildLayer(context, source));
  return { name: nameOf(sources), layers, config: trainerImageConfig };
}
