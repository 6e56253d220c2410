import { describe, expect, it } from 'vitest';
import { queueWords } from './queue-words.ts';

describe('what Kueue says of a job that waits', () => {
  it('is told in words', () => {
    const message =
      "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu in flavor modelwright, 1 more needed";
    expect(queueWords(message)).toEqual({ why: '1 more nvidia.com/gpu must become free', impossible: false });
  });

  it('is told as hopeless where more is asked for than all have together', () => {
    const message =
      "couldn't assign flavors to pod set main: insufficient quota for nvidia.com/gpu in flavor modelwright, previously considered podsets requests (0) + current podset request (5) > maximum capacity (4)";
    expect(queueWords(message)).toEqual({ why: 'it asks for 5 nvidia.com/gpu, and all tenants together have 4', impossible: true });
  });

  it('is told as it is where nobody knows it', () => {
    expect(queueWords('The workload is deactivated')).toEqual({ why: 'The workload is deactivated', impossible: false });
  });
});
