import type { V1Job, V1Pod } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { waitingPlaces } from './waiting-places.ts';

const job = (name: string, second: number, ended = false): V1Job => ({
  metadata: { name, creationTimestamp: new Date(second * 1_000) },
  status: { conditions: ended ? [{ type: 'Complete', status: 'True' }] : [] },
});
const pod = (nodeName?: string): V1Pod => ({ spec: { containers: [], ...(nodeName === undefined ? {} : { nodeName }) } });

describe('places of jobs that wait for a node', () => {
  it('are by age, of those that have neither a node nor an end', () => {
    const pods: Readonly<Record<string, readonly V1Pod[]>> = { runs: [pod('node1')], unplaced: [pod()] };
    const jobs = [job('new', 9), job('runs', 1), job('over', 2, true), job('unplaced', 3), job('b', 5), job('a', 5)];
    expect([...waitingPlaces(jobs, (name) => pods[name] ?? [])]).toEqual([
      ['unplaced', 1],
      ['a', 2],
      ['b', 3],
      ['new', 4],
    ]);
  });
});
