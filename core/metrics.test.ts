import { describe, expect, it } from 'vitest';
import { primaryOf, primaryText } from './metrics.ts';

describe('the figure that a model is judged by', () => {
  const rows = { train: 8, evaluation: 2 };

  it('is shown in percent where it is a share, and with three digits where it is not', () => {
    expect(primaryText({ metric: 'microF1', unit: 'share', values: { microF1: 0.9349, other: 1 }, rows, perLabel: {} })).toBe(
      'microF1 93.5 %',
    );
    expect(primaryText({ metric: 'pearson', unit: 'number', values: { pearson: -0.0521 }, rows, perLabel: {} })).toBe('pearson -0.052');
  });

  it('is accuracy in runs and versions from before figures had names', () => {
    expect(primaryOf({ accuracy: 0.97, macroF1: 0.5, rows, perLabel: {} })).toEqual({ metric: 'accuracy', value: 0.97, unit: 'share' });
  });
});
