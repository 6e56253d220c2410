import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256Hex } from '../../platform/hash.ts';
import { projectDir, resolvePaths } from '../../platform/paths.ts';
import { createS3Client } from '../../platform/s3.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import { daemonNamed, daemons, isRunning, processesOf, signalDaemon } from '../cluster/daemon.ts';
import { type Ceph, startCeph } from './ceph.ts';
import { cephHome, cephPlace } from './place.ts';
import { canRunCeph } from './requirements.ts';

const why = canRunCeph();

describe.skipIf(why !== null)(`Ceph on this machine${why === null ? '' : ` (left out: ${why})`}`, () => {
  const paths = resolvePaths(process.env);
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mw-ceph-'));
  });
  afterAll(async () => {
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  const mw = (home: string, ...args: readonly string[]) => {
    const child = spawn(process.execPath, [join(projectDir, 'cli/main.ts'), 'ceph', ...args], {
      env: { ...process.env, MW_HOME: home },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => (said += part.toString('utf8')));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    return { child, said: () => said, ended };
  };

  it('leaves nothing after its start was killed in the middle', async () => {
    const home = join(folder, 'killed');
    const place = cephPlace(cephHome({ ...paths, home }));
    const start = mw(home, 'up');
    await expect.poll(() => isRunning(daemonNamed(place, 'osd-0')), { timeout: 120_000, interval: 50 }).toBe(true);
    start.child.kill('SIGKILL');
    await start.ended;
    expect(processesOf(place).length).toBeGreaterThan(1);
    const down = mw(home, 'down');
    expect(await down.ended).toBe(0);
    expect(down.said()).toContain('Ceph is gone');
    expect(processesOf(place)).toEqual([]);
    expect(existsSync(place.home)).toBe(false);
  });

  describe('once it is up', () => {
    let home: string;
    let ceph: Ceph;
    beforeAll(async () => {
      home = join(folder, 'ceph');
      ceph = await startCeph({ home, paths });
    });
    afterAll(() => ceph?.stop());

    it('keeps its keys readable by the owner only', async () => {
      const { settingsFile, keyring } = cephPlace(home);
      for (const file of [settingsFile, keyring]) expect((await stat(file)).mode & 0o777).toBe(0o600);
    });

    it('is left as it is when it is started again, and keeps its objects when a process of it was killed', async () => {
      const place = cephPlace(home);
      const store = createS3ObjectStore(createS3Client({ s3: ceph.s3 }), ceph.s3.bucket);
      const bytes = Buffer.from('kept');
      const { ref } = await store.putContent('a/key', bytes, sha256Hex(bytes));
      const before = daemons(place);
      expect((await startCeph({ home, paths })).s3).toEqual(ceph.s3);
      expect(daemons(place)).toEqual(before);
      for (const name of ['radosgw', 'mon']) {
        signalDaemon(place, name, 'SIGKILL');
        await expect.poll(() => isRunning(daemonNamed(place, name)), { timeout: 20_000 }).toBe(false);
      }
      expect((await startCeph({ home, paths })).s3).toEqual(ceph.s3);
      expect(Buffer.from(await store.read(ref))).toEqual(bytes);
    });

    it('is not replaced by one of another shape', async () => {
      await expect(startCeph({ home, paths, osds: 3 })).rejects.toThrow(/a Ceph with 1 OSD of 16 GiB is here.*mw ceph down/);
    });
  });
});
