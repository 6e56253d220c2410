import { describe, expect, it } from 'vitest';
import * as keys from './keys.ts';
import { placeOf } from './object-place.ts';

const sha = 'a'.repeat(64);
const key = { tenantId: 'acme', customizationId: 'news' };
const run = { ...key, run: 12 };

describe('where an object lies', () => {
  it('is read from every key that is given to one', () => {
    const places: readonly (readonly [string, string, string])[] = [
      [keys.datasetBucketKey(key, sha), 'bucket', 'datasets'],
      [keys.datasetManifestKey(key, sha), 'dataset', 'datasets'],
      [keys.gateDetailsKey(key, sha), 'gate', 'models'],
      [keys.stagingKey(run, 2, 'model.safetensors'), 'staging', 'staging'],
      [keys.modelManifestKey({ ...run, attempt: 2 }, 3), 'manifest', 'models'],
      [keys.tenantShardKey('acme', sha), 'shard', 'models'],
      [keys.tenantFileKey('acme', sha), 'file', 'models'],
      [keys.keptEmbeddingsKey(key), 'embeddings', 'staging'],
      [keys.baseShardKey(sha), 'base', 'base'],
      [keys.baseFileKey(sha), 'base', 'base'],
      [keys.clockKey('1-2'), 'clock', 'base'],
    ];
    for (const [path, part, kind] of places) expect(placeOf(path)).toMatchObject({ part, kind });
    expect(placeOf(keys.modelManifestKey({ ...run, attempt: 2 }, 3))).toEqual({ part: 'manifest', kind: 'models', ...key, run: 12 });
    // As earlier versions named them.
    expect(placeOf('tenants/acme/news/models/v3-12/manifest.json')).toMatchObject({ part: 'manifest', run: 12 });
    expect(placeOf(keys.stagingKey(run, 2, 'x'))).toMatchObject({ ...key, run: 12 });
  });

  it('is not mistaken where a customization has the name of a folder', () => {
    const odd = { tenantId: 'acme', customizationId: 'shards' };
    expect(placeOf(keys.datasetBucketKey(odd, sha))).toMatchObject({ part: 'bucket', customizationId: 'shards' });
    expect(placeOf(keys.tenantShardKey('acme', sha))).toMatchObject({ part: 'shard', customizationId: null });
  });

  it('is nowhere for a key that is none of ours', () => {
    for (const other of [
      'backup.tar',
      'tenants/acme/notes.txt',
      `tenants/acme/files/${sha}.bak`,
      'base/shards/x.safetensors',
      'care/notes',
    ])
      expect(placeOf(other)).toBeNull();
  });
});
