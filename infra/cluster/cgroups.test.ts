import { describe, expect, it } from 'vitest';
import { hierarchiesIn } from './cgroups.ts';

describe('the trees of cgroups', () => {
  it('are one for each controller in version 1, and the empty one of version 2 beside them', () => {
    const mounts = [
      'tmpfs /sys/fs/cgroup tmpfs rw 0 0',
      'cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0',
      'cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0',
      'cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0',
      'cgroup /somewhere/else cgroup rw,cpu 0 0',
    ].join('\n');
    expect(hierarchiesIn(mounts)).toEqual([
      { mountPoint: '/sys/fs/cgroup/cpu,cpuacct', version: 1 },
      { mountPoint: '/sys/fs/cgroup/systemd', version: 1 },
      { mountPoint: '/sys/fs/cgroup/unified', version: 2 },
    ]);
  });

  it('are a single one in version 2, and none where nothing is mounted', () => {
    expect(hierarchiesIn('cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n')).toEqual([{ mountPoint: '/sys/fs/cgroup', version: 2 }]);
    expect(hierarchiesIn('proc /proc proc rw 0 0\n')).toEqual([]);
  });
});
