import { describe, expect, it } from 'vitest';
import { openPredictionId, predictionId } from './prediction-id.ts';

const predicted = { tenantId: 'acme', customizationId: 'news', version: 3, input: { text: 'Shares rose in Frankfurt' } };
const id = predictionId('secret', predicted);

describe('the id of a prediction', () => {
  it('is the same for the same question, another for any other, and holds nothing of the text', () => {
    expect(predictionId('secret', { ...predicted, input: { ...predicted.input } })).toBe(id);
    const others = [
      { ...predicted, tenantId: 'other' },
      { ...predicted, customizationId: 'mews' },
      { ...predicted, version: 4 },
      { ...predicted, input: { text: 'Shares rose in frankfurt' } },
    ].map((other) => predictionId('secret', other));
    expect(new Set([id, ...others, predictionId('other secret', predicted)]).size).toBe(6);
    expect(id).toMatch(/^p1\.news\.3\.[\w-]{22}\.[\w-]{22}$/);
    // Also one tenant's id of a text says nothing about another's: the digests are apart.
    expect(others[0]?.split('.')[3]).not.toBe(id.split('.')[3]);
  });

  it('opens for its tenant, and knows its input', () => {
    const opened = openPredictionId('secret', 'acme', id);
    expect(opened).toMatchObject({ customizationId: 'news', version: 3 });
    expect(opened?.isInput({ text: 'Shares rose in Frankfurt' })).toBe(true);
    expect(opened?.isInput({ text: 'Shares fell in Frankfurt' })).toBe(false);
  });

  it('does not open for another tenant, with another secret, or with any character changed', () => {
    expect(openPredictionId('secret', 'other', id)).toBeNull();
    expect(openPredictionId('another', 'acme', id)).toBeNull();
    for (let at = 0; at < id.length; at++) {
      const changed = `${id.slice(0, at)}${id[at] === 'A' ? 'B' : 'A'}${id.slice(at + 1)}`;
      expect(openPredictionId('secret', 'acme', changed)).toBeNull();
    }
    for (const nonsense of [
      '',
      '.',
      'p1',
      'p1....',
      `${id}.x`,
      id.slice(0, -1),
      `${id}A`,
      id.replace('.3.', '.03.'),
      id.replace('.3.', '.0x3.'),
    ])
      expect(openPredictionId('secret', 'acme', nonsense)).toBeNull();
  });
});
