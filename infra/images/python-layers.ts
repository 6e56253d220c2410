import { globSync } from 'node:fs';
import { mkdir, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { projectDir } from '../../platform/paths.ts';
import type { ProvisionContext } from '../local/provision-context.ts';
import { runCommand } from '../local/run-command.ts';
import { type SharedLibraries, sharedLibraries } from './shared-libraries.ts';
import { type TarEntry, folderEntries } from './tar-archive.ts';
import { trainerLayout, trainerUser } from './trainer-layout.ts';

type PythonFacts = {
  readonly executable: string;
  readonly standardLibrary: string;
  readonly packages: string;
  readonly certificates: string | null;
};

const askPython = `
import json, os, ssl, sys, sysconfig
certificates = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
print(json.dumps({
    "executable": os.path.realpath(sys.executable),
    "standardLibrary": os.path.dirname(os.path.realpath(os.__file__)),
    "packages": sysconfig.get_path("purelib"),
    "certificates": os.path.realpath(certificates) if os.path.exists(certificates) else None,
}))`;

const pythonHome = dirname(dirname(trainerLayout.python)).slice(1);
/** Of the standard library: what is for developers and for windows on a screen. */
const unneededModules =
  /^(test|idlelib|tkinter|turtledemo|ensurepip|lib2to3|site-packages|dist-packages|pydoc_data|config-[^/]*|.*\/tests?)$|turtle\.py$/;
/** Of the packages: installers, tests and headers of PyTorch. */
const unneededPackages = /^(pip|pip-[^/]*|pytest|_pytest|torch\/(include|test|share))$|\.a$/;
/** Extension modules of it. */
const unneededExtensions = /^(_tkinter|_test|xxlimited|_ctypes_test|_curses|readline|nis)/;
const compiledFolder = /(^|\/)__pycache__$/;

async function pythonFacts(python: string, signal: AbortSignal): Promise<PythonFacts> {
  return JSON.parse(await runCommand(python, ['-c', askPython], { signal })) as PythonFacts;
}

/** The compiled modules that a training needs, made once for both layers. */
async function compile(context: ProvisionContext, facts: PythonFacts, scratch: string): Promise<{ standard: string; packages: string }> {
  const [standard, packages] = [join(scratch, 'standard'), join(scratch, 'packages')];
  await mkdir(standard, { recursive: true });
  await mkdir(packages, { recursive: true });
  const script = join(import.meta.dirname, 'python/compile_imports.py');
  await runCommand(context.paths.trainerPython, [script, scratch, `standard=${facts.standardLibrary}`, `packages=${facts.packages}`], {
    env: { PYTHONPATH: join(projectDir, 'trainer'), PYTHONDONTWRITEBYTECODE: '1', PYTHONHASHSEED: '0' },
    signal: context.signal,
  });
  return { standard, packages };
}

/** The Python that the environment was made with: its program, standard library and every system library that it or a package loads. */
export async function pythonEntries(context: ProvisionContext, scratch: string): Promise<TarEntry[]> {
  const { signal } = context;
  const facts = await pythonFacts(context.paths.trainerPython, signal);
  const { executable, standardLibrary, packages, certificates } = facts;
  const compiled = await compile(context, facts, scratch);
  const extensions = globSync(join(standardLibrary, 'lib-dynload/*.so')).filter((file) => !unneededExtensions.test(basename(file)));
  const libraries = await sharedLibraries([executable, ...extensions, ...globSync(join(packages, '**/*.so*'))], [packages], signal);
  const version = basename(standardLibrary);
  const library = `${pythonHome}/lib/${version}`;
  const keeps = (path: string): boolean =>
    !compiledFolder.test(path) &&
    !unneededModules.test(path) &&
    !(path.startsWith('lib-dynload/') && unneededExtensions.test(basename(path)));
  return [
    { type: 'file', path: `${pythonHome}/bin/${version}`, source: executable, executable: true },
    ...['python', 'python3'].map((name) => ({ type: 'link' as const, path: `${pythonHome}/bin/${name}`, target: version })),
    ...(await folderEntries(standardLibrary, library, keeps)),
    ...(await folderEntries(compiled.standard, library)),
    ...(await libraryEntries(libraries)),
    ...systemEntries(certificates),
  ];
}

/** The packages of the environment, without what only installs and tests. */
export async function packagesEntries(context: ProvisionContext, scratch: string): Promise<TarEntry[]> {
  const facts = await pythonFacts(context.paths.trainerPython, context.signal);
  const compiled = await compile(context, facts, scratch);
  const target = trainerLayout.packages.slice(1);
  return [
    ...(await folderEntries(facts.packages, target, (path) => !compiledFolder.test(path) && !unneededPackages.test(path))),
    ...(await folderEntries(compiled.packages, target)),
  ];
}

/** /lib and /lib64 are links into /usr, as in today's distributions. */
async function libraryEntries({ files, loader, folder }: SharedLibraries): Promise<TarEntry[]> {
  const inUsr = (path: string): string => path.replace(/^\/(?=lib)/, '/usr/').slice(1);
  const entries: TarEntry[] = [
    { type: 'link', path: 'lib', target: 'usr/lib' },
    { type: 'link', path: 'lib64', target: 'usr/lib64' },
    { type: 'folder', path: 'usr/lib64' },
    { type: 'file', path: inUsr(loader), source: await realpath(loader), executable: true },
  ];
  for (const [name, path] of files) {
    const source = await realpath(path).catch(() => null);
    if (source !== null) entries.push({ type: 'file', path: join(inUsr(folder), name), source, executable: true });
  }
  return entries;
}

/** The few files of /etc that libraries look for, and folders that mounts go to. */
function systemEntries(certificates: string | null): TarEntry[] {
  const file = (path: string, text: string): TarEntry => ({ type: 'file', path, source: Buffer.from(text) });
  return [
    file('etc/passwd', `root:x:0:0:root:/root:/sbin/nologin\nmodelwright:x:${trainerUser}:${trainerUser}::/work:/sbin/nologin\n`),
    file('etc/group', `root:x:0:\nmodelwright:x:${trainerUser}:\n`),
    file('etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n'),
    ...(certificates === null ? [] : [{ type: 'file' as const, path: 'etc/ssl/certs/ca-certificates.crt', source: certificates }]),
    ...['proc', 'sys', 'dev', 'root', 'work'].map((path) => ({ type: 'folder' as const, path })),
    { type: 'folder', path: 'tmp', mode: 0o1777 },
  ];
}
