import { basename, dirname, join, resolve } from 'node:path';
import { sha256Hex } from '../../platform/hash.ts';
import type { Paths } from '../../platform/paths.ts';
import type { DaemonPlace } from '../cluster/daemon.ts';

/** Where one Ceph lives. Its processes are marked by `id`, which derives from the folder, so that two never meet. */
export type CephPlace = DaemonPlace & {
  /** Written last of all: a folder without it, or in the phase `starting`, is the rest of a start that was cut off. */
  readonly stateFile: string;
  /** Held by whoever starts or stops it. It lies beside the folder, which comes and goes. */
  readonly lock: string;
  readonly conf: string;
  /** Keys of its own daemons and of the administrator, readable by the owner only. */
  readonly keyring: string;
  readonly monMap: string;
  readonly mon: string;
  readonly osd: (id: number | '$id') => string;
  /** The gateway's address and its user's keys as settings, for a shell to read; readable by the owner only. */
  readonly settingsFile: string;
};

/** Where `mw ceph` keeps its own. */
export const cephHome = (paths: Paths): string => join(paths.home, 'ceph');

export function cephPlace(folder: string): CephPlace {
  const home = resolve(folder);
  return {
    home,
    id: sha256Hex(home).slice(0, 8),
    logs: join(home, 'logs'),
    processes: join(home, 'processes'),
    stateFile: join(home, 'ceph.json'),
    lock: join(dirname(home), `.${basename(home)}.lock`),
    conf: join(home, 'ceph.conf'),
    keyring: join(home, 'keyring'),
    monMap: join(home, 'monmap'),
    mon: join(home, 'mon'),
    osd: (id) => join(home, `osd-${id}`),
    settingsFile: join(home, 's3.env'),
  };
}
