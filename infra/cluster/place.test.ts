import { describe, expect, it } from 'vitest';
import { shapeProblems } from './cluster.ts';
import { mostAlike } from './node-images.ts';
import { clusterPlace } from './place.ts';
import { isNewEnough } from './requirements.ts';

const shape = { nodes: 2, gpusPerNode: 2, kueue: false, kwok: null };

describe('a cluster', () => {
  it('has names of its own for what the whole machine sees', () => {
    const [one, other] = [clusterPlace('/a/cluster'), clusterPlace('/b/cluster')];
    expect(one.id).not.toBe(other.id);
    expect(one.cgroup).not.toBe(other.cgroup);
    expect(clusterPlace('/a/x/../cluster').id).toBe(one.id);
    expect(one.node(2).cgroup).toBe(`${one.cgroup}/node2`);
  });

  it('is refused before anything is made when it cannot be', () => {
    const place = clusterPlace('/a/cluster');
    expect(shapeProblems(place, shape)).toEqual([]);
    expect(shapeProblems(place, { ...shape, nodes: 0 })).toEqual(['a cluster has 1 to 9 nodes, not 0']);
    expect(shapeProblems(place, { ...shape, nodes: 10, gpusPerNode: -1 })).toHaveLength(2);
    expect(shapeProblems(clusterPlace(`/${'long/'.repeat(20)}cluster`), shape)[0]).toContain('set MW_HOME to a shorter one');
  });

  it('needs a Go that its modules compile with', () => {
    expect(['go1.26.8', 'go1.30', 'go2.0'].map(isNewEnough)).toEqual([true, true, true]);
    expect(['go1.25.9', 'go1.3', ''].map(isNewEnough)).toEqual([false, false, false]);
  });

  it('starts from the unpacked images that have most in common with its own', () => {
    const [few, many, other] = [['a'], ['a', 'b', 'x'], ['y']].map((layers, i) => ({ folder: String(i), layers }));
    const all = [few, many, other].filter((one) => one !== undefined);
    expect(mostAlike(all, ['a', 'b', 'c'])).toBe(many);
    expect(mostAlike(all, ['a'])).toBe(few);
    expect(mostAlike([], ['a'])).toBeNull();
  });
});
