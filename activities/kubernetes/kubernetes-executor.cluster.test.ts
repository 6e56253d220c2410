import { CoreV1Api, KubeConfig, SchedulingV1Api } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TrainingProgress } from '../../core/run.ts';
import { sleep } from '../../platform/clock.ts';
import { until as comesTo } from '../../test/support/cluster-jobs.ts';
import { type TrainingCluster, startTrainingCluster, whyNoCluster } from '../../test/support/training-cluster.ts';
import type { JobEnd, JobSpec, TrainingExecutor } from '../training/executor.ts';
import { jobName } from './labels.ts';
import { parseTiers } from './resource-tiers.ts';

/** Sizes for two nodes of two CPUs and two simulated GPUs each. */
const tiers = parseTiers(
  {
    tiny: { cpu: '900m', memory: '512Mi', disk: '64Mi', next: 'gpu' },
    narrow: { cpu: '900m', memory: '400Mi', disk: '64Mi' },
    gpu: { cpu: '900m', memory: '512Mi', disk: '64Mi', gpus: 1 },
    node: { cpu: '900m', memory: '512Mi', disk: '64Mi', gpus: 2 },
    nine: { cpu: '900m', memory: '512Mi', disk: '64Mi', gpus: 9 },
    nowhere: { cpu: '900m', memory: '512Mi', disk: '64Mi', nodeSelector: { 'gpu.model': 'of-the-future' } },
    pair: { cpu: '900m', memory: '512Mi', disk: '64Mi', workers: 2 },
  },
  'the tiers of this test',
);
const why = whyNoCluster();

describe.skipIf(why !== null)(`trainings as Jobs on a real cluster${why === null ? '' : ` (${why})`}`, () => {
  let cluster: TrainingCluster;
  let core: CoreV1Api;
  const { signal } = new AbortController();

  beforeAll(async () => {
    cluster = await startTrainingCluster({ tiers });
    const config = new KubeConfig();
    config.loadFromFile(cluster.adminKubeconfig);
    core = config.makeApiClient(CoreV1Api);
  });
  afterAll(async () => await cluster?.remove());

  const namespace = (): string => cluster.namespace;
  const follow = (spec: JobSpec, seen: TrainingProgress[] = [], by: TrainingExecutor = cluster.executor): Promise<JobEnd> =>
    by.follow(spec, (progress) => void seen.push(progress), signal);
  const nameOf = (spec: JobSpec): string => jobName(cluster.installation, spec, spec.attempt);
  const podsOf = async (spec: JobSpec) =>
    (await core.listNamespacedPod({ namespace: namespace(), labelSelector: `job-name=${nameOf(spec)}` })).items;
  const classOf = (end: JobEnd): string => (end.kind === 'result' ? end.result.class : end.kind);
  const messageOf = (end: JobEnd): string => (end.kind === 'result' ? (end.result.class === 'ok' ? '' : end.result.message) : end.detail);
  const until = async (what: string, check: () => Promise<boolean> | boolean): Promise<void> => {
    await comesTo(what, async () => ((await check()) ? true : null));
  };
  const runs = (spec: JobSpec) => async (): Promise<boolean> => (await podsOf(spec)).some(({ status }) => status?.phase === 'Running');

  it('runs a job to its end, tells its progress and what it holds, and finds the end again', async () => {
    const spec = await cluster.spec(
      `
for step in range(1, 6):
    progress.tell("train", step, 5, loss=0.5)
    time.sleep(0.5)
return done(spec, job)`,
      { tier: 'gpu' },
    );
    const seen: TrainingProgress[] = [];
    const end = await follow(spec, seen);
    expect(end).toMatchObject({ kind: 'result', result: { class: 'ok', files: [{ name: 'result.json' }] } });
    expect(seen.some(({ phase, job }) => phase === 'train' && job?.state === 'running' && job.gpus === 1)).toBe(true);
    expect(seen.at(-1)?.job?.gpuSeconds).toBeGreaterThan(1);
    // What has ended holds nothing: it is kept for people to look at, and goes by itself.
    await cluster.executor.stop(spec);
    expect(await cluster.exists(nameOf(spec))).toBe(true);
    expect(await cluster.executor.jobs()).toEqual([]);
    await cluster.deleteJob(nameOf(spec));
    await until('it is gone', async () => (await podsOf(spec)).length === 0);
    // The job is gone, its result is not.
    expect(await follow(spec)).toMatchObject({ kind: 'result', result: { class: 'ok' } });
    expect(await podsOf(spec)).toEqual([]);
  });

  describe('ends by class', () => {
    it.each([
      ['invalid data', 'raise JobError("invalid_data", "2 rows are empty", ["r1", "r2"])', 'invalid_data', '2 rows are empty'],
      ['bad options', 'raise JobError("bad_options", "epochs must be whole")', 'bad_options', 'epochs must be whole'],
      ['NaN', 'raise JobError("diverged", "the loss became nan at step 3")', 'diverged', 'nan at step 3'],
      ['a crash of its own', 'raise ValueError("secret row text")', 'error', 'ValueError'],
      ['a crash of the process', 'import ctypes; ctypes.string_at(0)', 'error', 'status'],
      ['a full disk', 'open("/work/big", "wb").write(bytes(200_000_000)); time.sleep(300)', 'error', 'disk'],
    ])('%s', async (_, body, expected, said) => {
      const spec = await cluster.spec(body);
      const end = await follow(spec);
      expect([classOf(end), messageOf(end)]).toEqual([expected, expect.stringContaining(said)]);
      expect(messageOf(end)).not.toContain('secret row text');
      await cluster.executor.stop(spec);
    });

    it('out of memory, by a real limit', async () => {
      const spec = await cluster.spec('held = [bytearray(1_000_000) for _ in range(800)]; time.sleep(300)', { tier: 'narrow' });
      const end = await follow(spec);
      expect([classOf(end), messageOf(end)]).toEqual(['out_of_memory', expect.stringContaining('tier narrow')]);
      await cluster.executor.stop(spec);
    });

    it('a hang, by its silence', async () => {
      const spec = await cluster.spec(`
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for step in range(1, 4):
    progress.tell("train", step, 100)
    time.sleep(0.3)
time.sleep(3600)`);
      const impatient = cluster.executorWith({ graceSeconds: 5 }, { firstLineMs: 120_000, minimumMs: 20_000 });
      expect(classOf(await follow(spec, [], impatient))).toBe('hang');
      await cluster.executor.stop(spec);
    });

    it('requests that can never be met, at once and with the reason', async () => {
      for (const [tier, said] of [
        ['nine', '9 nvidia.com/gpu, and the largest node has 2'],
        ['nowhere', 'gpu.model=of-the-future'],
      ] as const) {
        const spec = await cluster.spec('return done(spec, job)', { tier });
        const end = await follow(spec);
        expect([classOf(end), messageOf(end)]).toEqual(['bad_options', expect.stringContaining(said)]);
      }
      await expect(cluster.spec('return done(spec, job)', { tier: 'unknown' })).rejects.toThrow('there is no resource tier unknown here');
    });

    it('an image that no node has', async () => {
      const spec = await cluster.spec('return done(spec, job)');
      const end = await follow(spec, [], cluster.executorWith({ image: 'docker.io/nobody/nothing:1' }));
      expect([classOf(end), messageOf(end)]).toEqual(['bad_options', expect.stringContaining('docker.io/nobody/nothing:1')]);
    });
  });

  describe('is not disturbed', () => {
    const slow = `
for step in range(1, 21):
    progress.tell("train", step, 20)
    time.sleep(0.5)
    if job.stop_asked: raise JobError("preempted", "stopped on request; a checkpoint is left")
return done(spec, job)`;

    it('by an eviction: the same job goes on in another pod', async () => {
      const spec = await cluster.spec(slow);
      const end = follow(spec);
      await until('it runs', runs(spec));
      const [pod] = await podsOf(spec);
      const name = pod?.metadata?.name ?? '';
      await core.createNamespacedPodEviction({ namespace: namespace(), name, body: { metadata: { name } } });
      expect(classOf(await end)).toBe('ok');
      expect((await podsOf(spec)).map(({ metadata }) => metadata?.name)).not.toContain(name);
      await cluster.executor.stop(spec);
    });

    it('by a pod of higher priority: it waits, says why, and goes on', async () => {
      const config = new KubeConfig();
      config.loadFromFile(cluster.adminKubeconfig);
      await config.makeApiClient(SchedulingV1Api).createPriorityClass({ body: { metadata: { name: 'urgent' }, value: 1_000_000 } });
      const specs = [await cluster.spec(slow, { tier: 'node' }), await cluster.spec(slow, { tier: 'node' })];
      const seen: TrainingProgress[] = [];
      const ends = specs.map((spec) => follow(spec, seen));
      for (const spec of specs) await until('it runs', runs(spec));
      const body = cluster.plainPod('urgent', { priorityClassName: 'urgent', gpus: 2 });
      await core.createNamespacedPod({ namespace: namespace(), body });
      await until('one of them waits', () =>
        seen.some(({ job }) => job?.state === 'pending' && job.why?.includes('nvidia.com/gpu') === true),
      );
      await core.deleteNamespacedPod({ namespace: namespace(), name: 'urgent', gracePeriodSeconds: 0 });
      expect((await Promise.all(ends)).map(classOf)).toEqual(['ok', 'ok']);
      for (const spec of specs) await cluster.executor.stop(spec);
    });

    it('by an API server that is away, and comes back', async () => {
      const spec = await cluster.spec(slow);
      const end = follow(spec);
      await until('it runs', runs(spec));
      await cluster.stopApiserver();
      await sleep(5_000);
      await cluster.startApiserver();
      expect(classOf(await end)).toBe('ok');
      await cluster.executor.stop(spec);
    });

    it('by the death of its worker: the next one adopts it, and two at once make one job', async () => {
      const spec = await cluster.spec(slow, { tier: 'gpu' });
      const dying = new AbortController();
      const first = cluster.executor.follow(spec, () => undefined, dying.signal);
      await until('it runs', runs(spec));
      dying.abort();
      await expect(first).rejects.toThrow('abort');
      const others = [cluster.executorWith({}), cluster.executorWith({})].map((by) => follow(spec, [], by));
      expect((await Promise.all(others)).map(classOf)).toEqual(['ok', 'ok']);
      expect((await podsOf(spec)).length).toBe(1);
      // Also whoever comes when all is over learns what it has used.
      const seen: TrainingProgress[] = [];
      expect(classOf(await follow(spec, seen, cluster.executorWith({})))).toBe('ok');
      expect(seen.at(-1)?.job?.gpuSeconds).toBeGreaterThan(1);
      await cluster.executor.stop(spec);
    });

    it('by a quota that is used up: it waits, and says for what', async () => {
      await core.createNamespacedResourceQuota({
        namespace: namespace(),
        body: { metadata: { name: 'one' }, spec: { hard: { 'requests.nvidia.com/gpu': '1' } } },
      });
      const [first, second] = [await cluster.spec(slow, { tier: 'gpu' }), await cluster.spec('return done(spec, job)', { tier: 'gpu' })];
      const ends = [follow(first)];
      await until('the first runs', runs(first));
      const seen: TrainingProgress[] = [];
      ends.push(follow(second, seen));
      await until('the second says why', () => seen.some(({ job }) => job?.why?.includes('quota') === true));
      // As soon as the first has ended; a Job tries again after some seconds.
      expect((await Promise.all(ends)).map(classOf)).toEqual(['ok', 'ok']);
      await core.deleteNamespacedResourceQuota({ namespace: namespace(), name: 'one' });
      for (const spec of [first, second]) await cluster.executor.stop(spec);
    });
  });

  it('a job that is deleted by hand is told as such, and the next attempt is another job', async () => {
    const spec = await cluster.spec('progress.tell("train", 1, 2)\ntime.sleep(300)', { name: 'by-hand' });
    const end = follow(spec);
    await until('it runs', runs(spec));
    await cluster.deleteJob(nameOf(spec));
    expect(classOf(await end)).toBe('killed');
    const next = await cluster.spec('return done(spec, job)', { name: 'by-hand', attempt: 2 });
    expect(classOf(await follow(next))).toBe('ok');
    await cluster.executor.stop(next);
  });

  it('stopping leaves time for a checkpoint, and then nothing', async () => {
    const spec = await cluster.spec(`
progress.tell("train", 1, 2)
while not job.stop_asked: time.sleep(0.1)
path = job.work_dir / "c"
path.write_text("a checkpoint")
upload(spec.outputs["result.json"], path)
raise JobError("preempted", "stopped on request; a checkpoint is left")`);
    const ended = new AbortController();
    const seen: TrainingProgress[] = [];
    const following = cluster.executor.follow(spec, (progress) => void seen.push(progress), ended.signal).catch(() => null);
    await until('it trains', () => seen.some(({ phase }) => phase === 'train'));
    ended.abort();
    await following;
    await cluster.executor.stop(spec);
    expect(await cluster.staged(spec, 'result.json')).toBe('a checkpoint');
    expect(await podsOf(spec)).toEqual([]);
    expect(await cluster.countOf(spec)).toEqual({ jobs: 0, secrets: 0 });
  });

  it('never takes over a job that is not ours', async () => {
    const spec = await cluster.spec('return done(spec, job)');
    await cluster.makeForeignJob(nameOf(spec));
    await expect(follow(spec)).rejects.toThrow('that Modelwright did not make');
    await cluster.executor.stop(spec);
    expect(await cluster.exists(nameOf(spec))).toBe(true);
    await cluster.deleteJob(nameOf(spec));
  });

  it('workers that train together find the first of them', async () => {
    const spec = await cluster.spec(
      `
import socket
host = os.environ["MW_RENDEZVOUS"].rpartition(":")[0]
for _ in range(200):
    try:
        address = socket.gethostbyname(host)
        break
    except OSError:
        time.sleep(0.3)
if os.environ["JOB_COMPLETION_INDEX"] != "0":
    return {"class": "ok"}
assert address in [info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None)]
return done(spec, job)`,
      { tier: 'pair' },
    );
    const end = await follow({ ...spec, workers: 1 });
    expect([classOf(end), messageOf(end)]).toEqual(['ok', '']);
    expect((await podsOf(spec)).length).toBe(2);
    await cluster.executor.stop(spec);
  });

  it('a hostile trainer finds nothing', async () => {
    const other = await cluster.foreignObject();
    const spec = await cluster.spec(`
import socket, ssl, urllib.request, urllib.error
found = []
if any(word in name for name in os.environ for word in ("SECRET", "TOKEN", "PASSWORD", "_KEY")): found.append("environment")
if os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token"): found.append("token")
if os.getuid() == 0: found.append("root")
try:
    open("/opt/x", "w")
    found.append("root file system")
except OSError: pass
mine = spec.outputs["result.json"][0]
place, _, signature = mine.partition("?")
server = place.split("/")[2]
for address in ("http://" + server + "/${other}", "http://" + server + "/${other}?" + signature, "http://" + server + "/"):
    try:
        urllib.request.urlopen(address, timeout=5).read()
        found.append("store")
    except urllib.error.HTTPError as error:
        if error.code != 403: found.append("store " + str(error.code))
try:
    api = "https://" + os.environ["KUBERNETES_SERVICE_HOST"] + ":" + os.environ["KUBERNETES_SERVICE_PORT"] + "/api/v1/secrets"
    urllib.request.urlopen(api, timeout=5, context=ssl._create_unverified_context()).read()
    found.append("API server")
except OSError: pass
try:
    os.setuid(0)
    found.append("setuid")
except OSError: pass
try:
    os.symlink("/proc/1/root", "/work/out")
    if os.path.exists("/work/out/etc/shadow") and open("/work/out/etc/shadow").read(): found.append("host")
except OSError: pass
try:
    socket.create_connection(("169.254.169.254", 80), timeout=2)
    found.append("metadata")
except OSError: pass
if found: raise JobError("error", "found " + ", ".join(found))
return done(spec, job)`);
    const end = await follow(spec);
    expect([classOf(end), messageOf(end)]).toEqual(['ok', '']);
    await cluster.executor.stop(spec);
  });

  // Last: a node is lost, which takes Kubernetes about two minutes to say.
  it('a node that is lost is given up, and the next attempt runs elsewhere', async () => {
    const body = `
for step in range(1, 2000):
    progress.tell("train", step, 2000)
    time.sleep(0.2)
return done(spec, job)`;
    const spec = await cluster.spec(body, { name: 'lost' });
    const end = follow(spec, [], cluster.executorWith({ graceSeconds: 5 }));
    await until('it runs', runs(spec));
    const node = (await podsOf(spec))[0]?.spec?.nodeName ?? '';
    cluster.partitionNode(node);
    expect(classOf(await end)).toBe('killed');
    const next = await cluster.spec('return done(spec, job)', { name: 'lost', attempt: 2 });
    expect(classOf(await follow(next))).toBe('ok');
    expect((await podsOf(next))[0]?.spec?.nodeName).not.toBe(node);
    cluster.healNode(node);
    for (const one of [spec, next]) await cluster.executor.stop(one);
  }, 400_000);
});
