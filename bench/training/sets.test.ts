import { describe, expect, it } from 'vitest';
import { spansOfSlots } from './sets.ts';

describe('slots of words', () => {
  it('become spans of code points, and an I- without its like before it opens one', () => {
    const line = { text: 'play 🎵 new  york nights to bob', slots: 'O I-mood B-city I-city I-list O B-who' };
    expect(spansOfSlots(line)).toEqual({
      text: line.text,
      entities: [
        { start: 5, end: 6, label: 'mood' },
        { start: 7, end: 16, label: 'city' },
        { start: 17, end: 23, label: 'list' },
        { start: 27, end: 30, label: 'who' },
      ],
    });
  });
});
