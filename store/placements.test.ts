import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ConfigError, type S3Place, parseSettings } from '../platform/config.ts';
import { loadPlacements, parsePlacements, placeOn } from './placements.ts';

const folder = mkdtempSync(join(tmpdir(), 'mw-placements-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'placements.json');
const place = (endpoint: string, bucket: string): S3Place => ({ endpoint, bucket, region: 'r', accessKey: 'a', secretKey: 's' });
const first = place('http://one:1', 'main');
const second = place('http://two:2', 'mirror');

/** As a process reads the file; `secondS3`: its second site. */
function loaded(raw: unknown, secondS3: S3Place | null = null) {
  writeFileSync(file, typeof raw === 'string' ? raw : JSON.stringify(raw));
  return loadPlacements({ s3: first, secondS3, settings: parseSettings({ MW_PLACEMENTS: file }) });
}

describe('placements', () => {
  it('are none where no file is named', () => {
    expect(loadPlacements({ s3: first, secondS3: null, settings: parseSettings({}) }).size).toBe(0);
  });

  it('mean a bucket and a class on each site, and the store’s own where nothing else is said', () => {
    const placements = loaded({
      fast: { bucket: 'nvme' },
      archive: { storageClass: 'COLD' },
      apart: { bucket: 'eu-1', storageClass: 'EC', second: { bucket: 'eu-2', storageClass: 'STANDARD' } },
    });
    const on = (site: 'first' | 'second', name: string) => {
      const { bucket, storageClass } = placeOn(site, site === 'first' ? first : second, placements.get(name) ?? null);
      return [bucket, storageClass];
    };
    expect(on('first', 'fast')).toEqual(['nvme', undefined]);
    expect(on('second', 'fast')).toEqual(['nvme', undefined]);
    expect(on('first', 'archive')).toEqual(['main', 'COLD']);
    expect(on('second', 'archive')).toEqual(['mirror', 'COLD']);
    expect(on('first', 'apart')).toEqual(['eu-1', 'EC']);
    expect(on('second', 'apart')).toEqual(['eu-2', undefined]);
    expect(on('second', 'nothing of that name')).toEqual(['mirror', undefined]);
    expect(placeOn('second', second, placements.get('fast') ?? null)).toMatchObject({ endpoint: 'http://two:2', accessKey: 'a' });
  });

  it.each([
    [{ fast: { bucket: 'nvme', colour: 1 } }, 'fast: Unrecognized key: "colour"'],
    [{ fast: { bucket: 'nvme', second: { pool: 'x' } } }, 'fast.second: Unrecognized key: "pool"'],
    [{ fast: {} }, 'fast: names neither a bucket nor a storageClass'],
    [{ fast: { bucket: 'No Bucket' } }, 'fast.bucket: is no name of a bucket'],
    [{ fast: { storageClass: 'a b' } }, 'fast.storageClass: is no name of a storage class'],
    [{ 'A b': { bucket: 'nvme' } }, 'A b: is no name of a placement'],
    [{ default: { bucket: 'nvme' } }, 'default: is what tenants without a placement have'],
    [[], 'expected record'],
  ])('that are wrong are named: %j', (raw, said) => {
    expect(() => parsePlacements(raw, 'the file')).toThrow(
      `the file: ${said === 'expected record' ? 'Invalid input: expected record' : said}`,
    );
  });

  it('cannot be read from a file that is missing or no JSON, and that is an error of the settings', () => {
    expect(() => loaded('{')).toThrow(ConfigError);
    expect(() => loaded('{')).toThrow(`MW_PLACEMENTS: ${file} cannot be read as JSON`);
    rmSync(file);
    expect(() => loadPlacements({ s3: first, secondS3: null, settings: parseSettings({ MW_PLACEMENTS: file }) })).toThrow('ENOENT');
  });

  it('keep two sites on one server apart', () => {
    const here = place('http://one:1', 'mirror');
    expect(() => loaded({ fast: { bucket: 'nvme' } }, here)).toThrow(
      'fast: both sites are on http://one:1, and bucket nvme is one of the first: name another by second.bucket',
    );
    expect(() => loaded({ fast: { bucket: 'mirror', second: { bucket: 'other' } } }, here)).toThrow('default: both sites are on');
    expect(loaded({ fast: { bucket: 'nvme', second: { bucket: 'nvme-2' } }, cold: { storageClass: 'COLD' } }, here).size).toBe(2);
    expect(loaded({ fast: { bucket: 'nvme' } }, second).size).toBe(1);
  });
});
