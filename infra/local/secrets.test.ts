import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { resolvePaths } from '../../platform/paths.ts';
import { parseSigner } from '../../platform/signing-keys.ts';
import { ensureSecrets } from './secrets.ts';

it('makes a key that signs at the first start, and in a home from before models were signed, and keeps it', async () => {
  const home = await mkdtemp(join(tmpdir(), 'mw-secrets-'));
  try {
    const paths = resolvePaths({ MW_HOME: home });
    const { signingKey, ...former } = await ensureSecrets(paths);
    expect(parseSigner(signingKey ?? '').keyId).toMatch(/^[0-9a-f]{16}$/);
    await writeFile(paths.secretsFile, JSON.stringify(former));
    const added = await ensureSecrets(paths);
    expect(added).toEqual({ ...former, signingKey: added.signingKey });
    expect(added.signingKey).not.toBe(signingKey);
    expect(await ensureSecrets(paths)).toEqual(added);
    expect(JSON.parse(await readFile(paths.secretsFile, 'utf8'))).toEqual(added);
    // For its owner alone.
    expect((await stat(paths.secretsFile)).mode & 0o77).toBe(0);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});
