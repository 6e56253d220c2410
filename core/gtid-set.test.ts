import { describe, expect, it } from 'vitest';
import { commonGtids, countGtids, parseGtidSet, subtractGtids } from './gtid-set.ts';

const a = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
const b = '4e11fa47-71ca-11e1-9e33-c80aa9429562';
const left = (from: string, taken: string): unknown => Object.fromEntries(subtractGtids(parseGtidSet(from), parseGtidSet(taken)));

describe('arithmetic of GTID sets', () => {
  it('takes intervals apart where others lie in them', () => {
    expect(left(`${a}:1-100`, `${a}:10-20:50`)).toEqual({
      [a]: [
        [1, 9],
        [21, 49],
        [51, 100],
      ],
    });
    expect(left(`${a}:5-9`, `${a}:1-7`)).toEqual({ [a]: [[8, 9]] });
    expect(left(`${a}:5-9`, `${a}:1-20`)).toEqual({});
  });

  it('keeps sources and tags apart, and reads white space and upper case', () => {
    expect(left(`${a}:1-3,\n${b.toUpperCase()}:1-2`, `${b}:1`)).toEqual({ [a]: [[1, 3]], [b]: [[2, 2]] });
    expect(left(`${a}:1-3:blue:1-4`, `${a}:1-3`)).toEqual({ [`${a}:blue`]: [[1, 4]] });
  });

  it('counts, and finds what two sets share, whatever the order of the intervals', () => {
    expect(countGtids(parseGtidSet(`${a}:7-9:1-3:4,${b}:5`))).toBe(8);
    expect(Object.fromEntries(commonGtids(parseGtidSet(`${a}:1-10`), parseGtidSet(`${a}:8-20,${b}:1`)))).toEqual({ [a]: [[8, 10]] });
    expect(countGtids(parseGtidSet(''))).toBe(0);
  });
});
