import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256Hex } from '../../platform/hash.ts';
import { projectDir, resolvePaths } from '../../platform/paths.ts';
import { type ClusterJobs, clusterJobs, namespace, until } from '../../test/support/cluster-jobs.ts';
import { remainsOf } from '../../test/support/cluster-remains.ts';
import { trainerImageName } from '../images/trainer-image.ts';
import { trainerLayout, trainerUser } from '../images/trainer-layout.ts';
import { type Cluster, runningCluster, startCluster } from './cluster.ts';
import { daemons } from './daemon.ts';
import { clusterPlace } from './place.ts';
import { canRunCluster } from './requirements.ts';
import { stopCluster } from './stop.ts';

const why = canRunCluster();

describe.skipIf(why !== null)(`the development cluster${why === null ? '' : ` (left out: ${why})`}`, () => {
  const paths = resolvePaths(process.env);
  const image = why === null ? trainerImageName(paths) : '';
  let folder: string;
  let home: string;
  let cluster: Cluster;
  let jobs: ClusterJobs;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mw-cluster-'));
    home = join(folder, 'cluster');
    cluster = await startCluster({ home, paths });
    jobs = clusterJobs(cluster.kubeconfig);
  });
  afterAll(async () => {
    if (!folder) return;
    await stopCluster(clusterPlace(home));
    await rm(folder, { recursive: true, force: true });
  });

  const isReady = async (name: string): Promise<boolean> => {
    const { status } = await jobs.core.readNode({ name });
    return status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';
  };
  const allocatable = async (name: string): Promise<string | undefined> =>
    (await jobs.core.readNode({ name })).status?.allocatable?.['nvidia.com/gpu'];
  const becomes = (name: string, ready: boolean): Promise<true> =>
    until(`${name} ${ready ? 'ready' : 'not ready'}`, async () => ((await isReady(name)) === ready ? true : null));

  /** As strictly as the platform's own Jobs. */
  const unprivileged = {
    securityContext: {
      runAsNonRoot: true,
      runAsUser: trainerUser,
      runAsGroup: trainerUser,
      fsGroup: trainerUser,
      seccompProfile: { type: 'RuntimeDefault' },
    },
  };
  const hardened = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] }, readOnlyRootFilesystem: true };
  const work = { volumes: [{ name: 'work', emptyDir: {} }], mounts: [{ name: 'work', mountPath: trainerLayout.work }] };

  it('has two ready nodes with two GPUs each', async () => {
    const { items } = await jobs.core.listNode();
    expect(items.map(({ metadata }) => metadata?.name)).toEqual(['node1', 'node2']);
    for (const name of ['node1', 'node2']) {
      expect(await isReady(name)).toBe(true);
      expect(await allocatable(name)).toBe('2');
    }
  });

  it('is left as it is when it is started again', async () => {
    const before = daemons(clusterPlace(home));
    expect(before.length).toBeGreaterThan(8);
    const again = await startCluster({ home, paths });
    expect(again.kubeconfig).toBe(cluster.kubeconfig);
    expect(daemons(clusterPlace(home))).toEqual(before);
    expect(runningCluster(home, paths)?.shape).toEqual(cluster.shape);
  });

  it('loads PyTorch as a user without rights, on a GPU of its own, and can write nothing but its volume', async () => {
    const script = [
      'import os, torch',
      'print(torch.__version__, os.getuid(), os.environ["NVIDIA_VISIBLE_DEVICES"].startswith("GPU-node"))',
      'open("/work/file", "w").close()',
      'print(os.listdir("/work"))',
      'try: open("/opt/modelwright/file", "w")',
      'except OSError as error: print(error.strerror)',
    ].join('\n');
    const command = [trainerLayout.python, '-c', script];
    const resources = { limits: { 'nvidia.com/gpu': '1' } };
    const container = { image, command, resources, securityContext: hardened, volumeMounts: work.mounts };
    await jobs.create('torch', container, { ...unprivileged, volumes: work.volumes });
    const { end, log } = await jobs.ended('torch');
    const [, version = ''] = /^torch==(\S+)$/m.exec(readFileSync(join(projectDir, 'trainer/requirements.txt'), 'utf8')) ?? [];
    expect(end).toBe('Complete');
    expect(version).not.toBe('');
    expect(log.split('\n').slice(0, 3)).toEqual([
      expect.stringMatching(new RegExp(`^${version}\\S* ${trainerUser} True$`)),
      "['file']",
      'Read-only file system',
    ]);
  });

  it('trains a model of the catalogue in the image, as it is started by the platform', async () => {
    const topics = ['refund of the payment', 'parcel is late', 'password does not work', 'invoice for the tax office'];
    const rows = Array.from({ length: 80 }, (_, i) => ({
      id: `r${i}`,
      split: i % 4 === 3 ? 'evaluation' : 'train',
      text: `${topics[Math.floor(i / 4) % 4]} ${i}`,
      label: `topic${Math.floor(i / 4) % 4}`,
    }));
    const packed = zstdCompressSync(Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join('')));
    const sha256 = sha256Hex(packed);
    const outputs = ['model.safetensors', 'eval.jsonl', 'answering.json', 'encoder.onnx', 'result.json'];
    const spec = {
      jobName: 'real',
      businessModel: { id: 'text-classification', version: '1', trainerFile: `${trainerLayout.catalog}/text-classification/trainer.py` },
      dataset: {
        digest: sha256,
        rows: rows.length,
        buckets: [{ index: 0, url: 'file:///spec/bucket', sha256, bytes: packed.length, rows: 80 }],
      },
      baseModel: { name: 'all-MiniLM-L6-v2', path: `${trainerLayout.models}/all-MiniLM-L6-v2`, digest: '' },
      options: { quality: 'fast' },
      seed: 7,
      threads: 1,
      outputs: Object.fromEntries(outputs.map((file) => [file, `file:///work/staged.${file}`])),
      workDir: '/work/job',
      cacheDir: '/work/cache',
    };
    await jobs.core.createNamespacedConfigMap({
      namespace,
      body: { metadata: { name: 'spec' }, data: { 'spec.json': JSON.stringify(spec) }, binaryData: { bucket: packed.toString('base64') } },
    });
    const volumeMounts = [...work.mounts, { name: 'spec', mountPath: '/spec' }];
    const container = { image, args: ['--spec', '/spec/spec.json'], securityContext: hardened, volumeMounts };
    const volumes = [...work.volumes, { name: 'spec', configMap: { name: 'spec' } }];
    await jobs.create('training', container, { ...unprivileged, volumes });
    const { end, log } = await jobs.ended('training');
    expect(`${end}: ${log}`).toMatch(/^Complete: /);
    const phases = log.split('\n').flatMap((line) => (line.startsWith('{') ? [(JSON.parse(line) as { phase?: string }).phase] : []));
    expect(phases).toContain('train');
  });

  it('lets pods reach a server of the host', async () => {
    const server: Server = createServer((_, answer) => answer.end('said by the host\n'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const address = await cluster.forwardFromPods((server.address() as AddressInfo).port, 18_080);
      expect(address).toBe(`${cluster.hostAddress}:18080`);
      const script = `for i in 1 2 3 4 5 6 7 8 9 10; do wget -q -O - http://${address}/ 2> /dev/null && exit 0; sleep 0.5; done; exit 1`;
      await jobs.create('fetch', { command: ['sh', '-c', script] });
      expect(await jobs.ended('fetch')).toEqual({ end: 'Complete', log: 'said by the host\n' });
    } finally {
      server.close();
    }
  });

  it('lets the pods of an Indexed Job find each other by name', async () => {
    const service = { metadata: { name: 'pair' }, spec: { clusterIP: 'None', publishNotReadyAddresses: true, selector: { job: 'pair' } } };
    await jobs.core.createNamespacedService({ namespace, body: service });
    const script = [
      'if [ "$JOB_COMPLETION_INDEX" = 0 ]; then',
      // Answers one request and ends.
      String.raw`printf "HTTP/1.0 200 OK\r\n\r\nsaid by the first\n" | timeout 60 nc -l -p 8000 > /dev/null`,
      'else for i in $(seq 60); do wget -q -O - http://pair-0.pair:8000/ 2> /dev/null && exit 0; sleep 0.5; done; exit 1; fi',
    ].join('\n');
    const job = { completions: 2, parallelism: 2, completionMode: 'Indexed' };
    await jobs.create('pair', { command: ['sh', '-c', script] }, { subdomain: 'pair' }, job);
    expect(await jobs.ended('pair')).toEqual({ end: 'Complete', log: 'said by the first\n' });
  });

  it('shows broken GPUs, cut off nodes, and nodes that died and came back', async () => {
    await cluster.breakGpus(1, [0]);
    await until('one GPU fewer', async () => ((await allocatable('node1')) === '1' ? true : null));
    await cluster.breakGpus(1, []);
    await until('all GPUs', async () => ((await allocatable('node1')) === '2' ? true : null));
    cluster.partitionNode(1);
    await becomes('node1', false);
    expect(await isReady('node2')).toBe(true);
    cluster.healNode(1);
    await becomes('node1', true);
    await cluster.crashNode(2);
    await becomes('node2', false);
    await cluster.startNode(2);
    await becomes('node2', true);
    await jobs.create('after', { command: ['echo', 'works again'] }, { nodeSelector: { 'kubernetes.io/hostname': 'node2' } });
    expect(await jobs.ended('after')).toEqual({ end: 'Complete', log: 'works again\n' });
  });

  it('goes on where it was when its API server was away', async () => {
    await cluster.stopApiserver();
    await expect(jobs.core.listNode()).rejects.toThrow('fetch failed');
    await cluster.startApiserver();
    expect((await jobs.batch.readNamespacedJob({ namespace, name: 'after' })).status?.succeeded).toBe(1);
  });

  it('leaves nothing behind when it is stopped, however often', async () => {
    await jobs.create('still-running', { command: ['sleep', '1000'] });
    await until('a running pod', async () =>
      (await jobs.batch.readNamespacedJob({ namespace, name: 'still-running' })).status?.ready === 1 ? true : null,
    );
    const place = clusterPlace(home);
    expect(remainsOf(place).length).toBeGreaterThan(10);
    await cluster.stop();
    expect(remainsOf(place)).toEqual([]);
    expect(existsSync(home)).toBe(false);
    await cluster.stop();
    expect(await stopCluster(place)).toBe(false);
  });

  /** Starts a cluster by the command line and sends a signal as soon as it says something. */
  const interrupted = async (moment: string, signal: NodeJS.Signals) => {
    const place = clusterPlace(join(folder, 'mw', 'cluster'));
    const child = spawn(process.execPath, [join(projectDir, 'cli/main.ts'), 'cluster', 'up', '--no-image'], {
      env: { ...process.env, MW_HOME: join(folder, 'mw') },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (part: Buffer) => {
        const before = said;
        said += part.toString('utf8');
        const mark = `  ${moment}\n`;
        if (said.includes(mark) && !before.includes(mark)) child.kill(signal);
      });
    }
    const [code, by] = await new Promise<[number | null, string | null]>((resolve) => child.once('close', (...ended) => resolve(ended)));
    return { place, said, code, by };
  };

  it.each(['control plane', 'nodes'])('is cleared away when its start was killed: %s', async (moment) => {
    const { place, said, by } = await interrupted(moment, 'SIGKILL');
    expect(`${by}: ${said}`).toMatch(/^SIGKILL: /);
    expect(remainsOf(place)).not.toEqual([]);
    expect(await stopCluster(place)).toBe(true);
    expect(remainsOf(place)).toEqual([]);
    expect(existsSync(place.home)).toBe(false);
  });

  it('clears itself away when its start is interrupted', async () => {
    const { place, said, code } = await interrupted('nodes', 'SIGINT');
    expect(said).toContain('mw: stopped: nothing is left of the cluster');
    expect(code).toBe(1);
    expect(remainsOf(place)).toEqual([]);
    expect(existsSync(place.home)).toBe(false);
  });
});
