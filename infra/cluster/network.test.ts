import { expect, it } from 'vitest';
import { mountPointsUnder } from './network.ts';

it('finds mounts in a folder, the innermost first, and none of a folder with a longer name', () => {
  const mounts = [
    'nsfs /data/my\\040cluster/network nsfs rw 0 0',
    'tmpfs /data/my\\040cluster/node1 tmpfs rw 0 0',
    'tmpfs /data/my\\040cluster/node1/x tmpfs rw 0 0',
    'tmpfs /data/my\\040cluster-2/node1 tmpfs rw 0 0',
  ].join('\n');
  expect(mountPointsUnder(mounts, '/data/my cluster')).toEqual([
    '/data/my cluster/node1/x',
    '/data/my cluster/node1',
    '/data/my cluster/network',
  ]);
  expect(mountPointsUnder(mounts, '/data/my cluster/network')).toEqual(['/data/my cluster/network']);
});
