import type { V1Job, V1ObjectMeta, V1Pod, V1PodStatus } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { tooLargeForNodes, tooLargeForQuota } from './capacity.ts';
import { stateOfJob } from './job-state.ts';
import { jobText, runOf } from '../training/job-text.ts';
import { jobName } from './labels.ts';
import { schedulerWords } from './pending-reason.ts';
import { endOfPod, gpuSecondsOf } from './pod-end.ts';
import { parseTiers, tierOf } from './resource-tiers.ts';

const at = (second: number): Date => new Date(Date.UTC(2026, 0, 1, 0, 0, second));
const nowMs = at(100).getTime();

const podOf = (status: Partial<V1PodStatus>, metadata: Partial<V1ObjectMeta> = {}): V1Pod => ({
  metadata: { name: 'p', creationTimestamp: at(0), ...metadata },
  spec: { nodeName: 'n1', containers: [{ name: 'trainer', image: 'i:1' }] },
  status,
});
const ended = (exitCode: number, more: { reason?: string; message?: string } = {}, status: Partial<V1PodStatus> = {}): V1Pod =>
  podOf({
    phase: 'Failed',
    containerStatuses: [
      { name: 'trainer', image: '', imageID: '', ready: false, restartCount: 0, state: { terminated: { exitCode, ...more } } },
    ],
    ...status,
  });
const jobWith = (type?: string, reason?: string): V1Job => ({
  spec: { template: {}, activeDeadlineSeconds: 7_200 },
  status: type === undefined ? {} : { conditions: [{ type, status: 'True', ...(reason === undefined ? {} : { reason }) }] },
});
const classOf = (pod: V1Pod): string | null => {
  const end = endOfPod(pod, 'small');
  return end === null ? null : end.kind === 'result' ? end.result.class : end.kind;
};

describe('how a pod ended', () => {
  const said = (of: string): { message: string } => ({ message: JSON.stringify({ class: of, message: 'why', rows: ['r1'] }) });

  it.each([
    ['a container out of memory', ended(137, { reason: 'OOMKilled' }), 'out_of_memory'],
    ['the last words of the trainer', ended(65, said('invalid_data')), 'invalid_data'],
    ['out of memory by its own words', ended(71, said('out_of_memory')), 'out_of_memory'],
    ['a checkpoint left on SIGTERM', ended(143, said('preempted')), 'killed'],
    ['SIGKILL from outside', ended(137), 'killed'],
    ['a crash', ended(139), 'error'],
    ['an image without the trainer', ended(128, { reason: 'StartError' }), 'bad_options'],
    ['a pod without a status', podOf({ phase: 'Failed', reason: 'NodeLost' }), 'killed'],
    ['a node that refused it', podOf({ phase: 'Failed', reason: 'UnexpectedAdmissionError', message: 'no GPU' }), 'killed'],
    [
      'preemption, whatever the trainer said',
      ended(1, {}, { conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'PreemptionByScheduler' }] }),
      'killed',
    ],
    [
      'a full work folder, which comes as an eviction',
      podOf({
        phase: 'Failed',
        reason: 'Evicted',
        message: 'Usage of EmptyDir volume "work" exceeds the limit "6Gi".',
        conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'TerminationByKubelet' }],
      }),
      'error',
    ],
    ['a pod that ended well', podOf({ phase: 'Succeeded' }), null],
    ['a pod that runs', podOf({ phase: 'Running' }), null],
  ])('%s', (_, pod, expected) => {
    expect(classOf(pod)).toBe(expected);
  });

  it('keeps the ids of rows and nothing that is no text', () => {
    const end = endOfPod(ended(65, { message: '{"class":"invalid_data","message":"bad","rows":["a",7]}' }), 'small');
    expect(end).toEqual({ kind: 'result', result: { class: 'invalid_data', message: 'bad', rows: ['a'] } });
  });
});

describe('the state of a job', () => {
  it('is that of its condition when it has ended', () => {
    expect(stateOfJob(jobWith('Complete'), [], 'small', nowMs)).toEqual({ kind: 'succeeded' });
    const late = stateOfJob(jobWith('Failed', 'DeadlineExceeded'), [ended(143)], 'small', nowMs);
    expect(late).toMatchObject({
      kind: 'ended',
      end: { kind: 'result', result: { class: 'error', message: expect.stringContaining('2 hours') } },
    });
    expect(stateOfJob(jobWith('Failed'), [], 'small', nowMs)).toMatchObject({ kind: 'ended', end: { kind: 'killed' }, remove: false });
  });

  it('of workers that train together names the one that failed by itself', () => {
    const pods = [ended(143), ended(65, { message: '{"class":"invalid_data","message":"x"}' }), ended(143)];
    expect(stateOfJob(jobWith('Failed'), pods, 'small', nowMs)).toMatchObject({
      end: { kind: 'result', result: { class: 'invalid_data' } },
    });
  });

  it('of a job whose disk was full is an end that the Job itself does not see', () => {
    const full = podOf({ phase: 'Failed', reason: 'Evicted', message: 'exceeds the limit' });
    expect(stateOfJob(jobWith(), [full], 'small', nowMs)).toMatchObject({ kind: 'ended', remove: true });
  });

  it('of a job that was disturbed is open: another pod goes on', () => {
    const gone = ended(143, {}, { conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI' }] });
    const next = podOf({ phase: 'Running' }, { name: 'q', creationTimestamp: at(50) });
    expect(stateOfJob(jobWith(), [gone, next], 'small', nowMs)).toMatchObject({ kind: 'open', state: 'running', pod: 'q' });
  });

  it('on a node that no longer answers ends after the pod should have', () => {
    const going = (second: number): V1Pod => podOf({ phase: 'Running' }, { deletionTimestamp: at(second) });
    expect(stateOfJob(jobWith(), [going(90)], 'small', nowMs)).toMatchObject({ kind: 'open' });
    expect(stateOfJob(jobWith(), [going(80)], 'small', nowMs)).toMatchObject({ kind: 'ended', end: { kind: 'killed' }, remove: true });
  });

  it('waits for an image a while, and not for one that can never be pulled', () => {
    const waiting = (reason: string, second: number): V1Pod =>
      podOf(
        {
          phase: 'Pending',
          conditions: [{ type: 'PodScheduled', status: 'True' }],
          containerStatuses: [
            {
              name: 'trainer',
              image: '',
              imageID: '',
              ready: false,
              restartCount: 0,
              state: { waiting: { reason, message: 'not found' } },
            },
          ],
        },
        { creationTimestamp: at(second) },
      );
    expect(stateOfJob(jobWith(), [waiting('ImagePullBackOff', 50)], 'small', nowMs)).toMatchObject({ kind: 'open', state: 'starting' });
    for (const pod of [waiting('ImagePullBackOff', 5), waiting('InvalidImageName', 99)])
      expect(stateOfJob(jobWith(), [pod], 'small', nowMs)).toMatchObject({ end: { kind: 'result', result: { class: 'bad_options' } } });
  });

  it('that waits says why', () => {
    const job: V1Job = { spec: { template: {}, suspend: true } };
    expect(stateOfJob(job, [], 'small', nowMs)).toMatchObject({ state: 'queued' });
    expect(stateOfJob(jobWith(), [], 'small', nowMs)).toMatchObject({ state: 'pending', why: 'waits for its pod' });
    expect(stateOfJob(jobWith(), [podOf({ phase: 'Succeeded' })], 'small', nowMs)).toMatchObject({ state: 'running' });
    const message =
      '0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available';
    const unplaced = podOf({ phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }] });
    expect(stateOfJob(jobWith(), [unplaced], 'gpu', nowMs)).toMatchObject({
      state: 'pending',
      why: expect.stringContaining('2 have too little nvidia.com/gpu free'),
    });
  });
});

it('the scheduler is quoted in words of ours, and as it is where it says something new', () => {
  expect(schedulerWords("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.", 'gpu')).toBe(
    'waits for a node: of 2 nodes 2 lack the labels that tier gpu asks for',
  );
  expect(schedulerWords('something else', 'gpu')).toBe('waits for a node: something else');
});

describe('what can never be', () => {
  const tiers = parseTiers({ nine: { cpu: '1', memory: '1Gi', disk: '1Gi', gpus: 9, nodeSelector: { pool: 'gpu' } } }, 'test');
  const nine = tierOf(tiers, 'nine', 0);
  const node = (gpus: string, labels: Record<string, string> = { pool: 'gpu' }) => ({
    metadata: { labels },
    status: { allocatable: { cpu: '8', memory: '64Gi', 'nvidia.com/gpu': gpus } },
  });

  it('is a request above every node', () => {
    expect(tooLargeForNodes(nine, [node('8'), node('4')])).toBe('tier nine asks for 9 nvidia.com/gpu, and the largest node has 8');
    expect(tooLargeForNodes(nine, [node('8'), node('9')])).toBeNull();
    expect(tooLargeForNodes(nine, [node('9', {})])).toContain('no node has the labels that tier nine asks for: pool=gpu');
    expect(tooLargeForNodes(nine, [])).toContain('no node has the labels');
  });

  it('is a request above a quota', () => {
    const quota = (hard: string) => [{ metadata: { name: 'q' }, spec: { hard: { 'requests.nvidia.com/gpu': hard } } }];
    expect(tooLargeForQuota(nine, quota('8'))).toContain("the namespace's quota q allows 8 in all");
    expect(tooLargeForQuota(nine, quota('9'))).toBeNull();
  });
});

it('GPU seconds count from when a node took the pod to its end', () => {
  const ran = ended(0, {}, { phase: 'Succeeded', startTime: at(10) });
  const terminated = { exitCode: 0, finishedAt: at(40) };
  ran.status!.containerStatuses![0]!.state = { terminated };
  const runs = podOf({ phase: 'Running', startTime: at(90) });
  const waits = podOf({ phase: 'Pending' });
  expect(gpuSecondsOf([ran, runs, waits], 2, nowMs)).toBe(2 * (30 + 10));
});

it('names of jobs are valid, readable, and differ where only hyphens do', () => {
  const name = jobName('i', { tenantId: 'acme', customizationId: 'news-1', run: 12 }, 3);
  expect(name).toMatch(/^mw-acme-news-1-12-3-[0-9a-f]{8}$/);
  expect(jobName('i', { tenantId: 'a-b', customizationId: 'c', run: 1 }, 1)).not.toBe(
    jobName('i', { tenantId: 'a', customizationId: 'b-c', run: 1 }, 1),
  );
  const long = 'x'.repeat(64);
  expect(jobName('i', { tenantId: long, customizationId: long, run: 1 }, 1)).toMatch(/^[a-z0-9-]{1,50}$/);
  const key = { tenantId: 'a', customizationId: 'b', run: 2 };
  expect(runOf(jobText(key, 3))).toEqual({ ...key, attempt: 3 });
  expect(runOf('a.b.x.1')).toBeNull();
});
