import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectDir } from '../../platform/paths.ts';
import { amountOf, loadResourceTiers, parseTiers, threadsOf, tierOf } from './resource-tiers.ts';

const plain = { cpu: '1', memory: '1Gi', disk: '1Gi' };

describe('resource tiers', () => {
  it('lead to larger ones, as far as there are any', () => {
    const tiers = parseTiers({ a: { ...plain, next: 'b' }, b: { ...plain, next: 'c' }, c: plain }, 'tiers.json');
    expect([0, 1, 2, 3].map((raises) => tierOf(tiers, 'a', raises).name)).toEqual(['a', 'b', 'c', 'c']);
  });

  it('that are unknown are named beside those that there are', () => {
    expect(() => tierOf(loadResourceTiers(undefined), 'huge', 0)).toThrow(
      'there is no resource tier huge here: choose one of small, medium',
    );
  });

  it.each([
    [{ a: { ...plain, next: 'x' } }, 'a.next: there is no tier x'],
    [{ a: { ...plain, next: 'b' }, b: { ...plain, next: 'a' } }, 'leads back to'],
    [{ a: { ...plain, cpu: 'much' } }, 'a.cpu: must be a Kubernetes quantity'],
    [{ a: { ...plain, colour: 1 } }, 'colour'],
    [{ 'A b': plain }, 'A b'],
  ])('%j is refused with the place', (raw, said) => {
    expect(() => parseTiers(raw, 'tiers.json')).toThrow(said);
    expect(() => parseTiers(raw, 'tiers.json')).toThrow('tiers.json');
  });

  it('of a file that is missing name it', () => {
    expect(() => loadResourceTiers('/nowhere/tiers.json')).toThrow('MW_RESOURCE_TIERS: /nowhere/tiers.json');
  });

  it('are counted in cores and bytes', () => {
    expect(['2', '500m', '4Gi', '1.5G', '8'].map(amountOf)).toEqual([2, 0.5, 4 * 2 ** 30, 1.5e9, 8]);
    expect([threadsOf({ cpu: '500m' }), threadsOf({ cpu: '3500m' }), threadsOf({ cpu: '4' })]).toEqual([1, 3, 4]);
  });

  it('are documented as they are, with a file that can be taken as it stands', () => {
    const page = readFileSync(join(projectDir, 'docs/06-kubernetes.md'), 'utf8');
    const file = /```json\n(.*?)```/s.exec(page)?.[1] ?? '';
    expect(tierOf(parseTiers(JSON.parse(file), 'the documentation'), 'small', 1)).toMatchObject({ name: 'a100', gpus: 1 });
    for (const { name, cpu, memory, disk, gpus, workers, next = '' } of loadResourceTiers(undefined).values()) {
      const line = page.split('\n').find((text) => text.startsWith(`| \`${name}\` |`)) ?? '';
      expect(line).toContain(next === '' ? '| |' : `| \`${next}\` |`);
      const amounts = `${cpu} CPUs?, ${parseInt(memory)} GiB.*, ${parseInt(disk)} GiB.*${gpus > 0 ? `, ${gpus} GPU` : ''}`;
      expect(line).toMatch(new RegExp(workers > 1 ? `${workers} workers as` : amounts));
    }
  });
});
