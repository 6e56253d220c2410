import { basename, dirname, join } from 'node:path';
import { runCommand } from '../local/run-command.ts';

export type SharedLibraries = {
  /** Where each file lies on this machine, by its name. */
  readonly files: ReadonlyMap<string, string>;
  /** The dynamic loader, by the path that is compiled into programs. */
  readonly loader: string;
  /** The folder that the loader searches by itself. */
  readonly folder: string;
};

const filesAtOnce = 200;
/** Loaded by name when threads are cancelled or names are looked up: in no list of needed libraries. */
const loadedLater = ['libgcc_s.so.1', 'libresolv.so.2', 'libnss_dns.so.2', 'libnss_files.so.2'];

/** Reads ldd's output: name to path. */
export function parseLdd(output: string): { readonly libraries: ReadonlyMap<string, string>; readonly loader: string | null } {
  const libraries = new Map<string, string>();
  let loader: string | null = null;
  for (const line of output.split('\n')) {
    const [, name, path] = /^\s+(\S+) => (\/\S+) \(0x/.exec(line) ?? [];
    if (name !== undefined && path !== undefined) {
      if (!name.startsWith('/')) libraries.set(name, path);
    }
    const [, only] = /^\s+(\/\S+ld-\S+|\/\S+\/ld64\S*)(?: => \S+)? \(0x/.exec(line) ?? [];
    if (only !== undefined) loader = only;
  }
  return { libraries, loader };
}

/** The system's libraries that programs and extension modules need; those in `own` folders come with what needs them. */
export async function sharedLibraries(binaries: readonly string[], own: readonly string[], signal: AbortSignal): Promise<SharedLibraries> {
  const files = new Map<string, string>();
  let loader: string | null = null;
  for (let start = 0; start < binaries.length; start += filesAtOnce) {
    // It ends with an error when one of the files is no program for it, and tells of the others all the same.
    const output = await runCommand('sh', ['-c', 'ldd "$@" 2>/dev/null || true', 'ldd', ...binaries.slice(start, start + filesAtOnce)], {
      signal,
    });
    const parsed = parseLdd(output);
    loader ??= parsed.loader;
    for (const [name, path] of parsed.libraries) if (!own.some((folder) => path.startsWith(`${folder}/`))) files.set(name, path);
  }
  const libc = files.get('libc.so.6');
  if (loader === null || libc === undefined)
    throw new Error('the dynamic loader of Python was not found: the image can be made on Linux with glibc only');
  const folder = dirname(libc);
  for (const name of loadedLater) if (!files.has(name)) files.set(name, join(folder, name));
  files.delete(basename(loader));
  return { files, loader, folder };
}
