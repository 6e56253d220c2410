import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { randomBytes } from '../../platform/clock.ts';
import { type Secrets, secretsSchema } from '../../platform/config.ts';
import type { Paths } from '../../platform/paths.ts';

const secret = (bytes = 24): string => randomBytes(bytes).toString('base64url');

const newSigningKey = (): string => randomBytes(32).toString('base64');

/** Reads the installation's secrets, or makes them: random, readable by the owner only. A home from before models were signed gets a key for that. */
export async function ensureSecrets(paths: Paths): Promise<Secrets> {
  if (existsSync(paths.secretsFile)) {
    const found = secretsSchema.parse(JSON.parse(await readFile(paths.secretsFile, 'utf8')));
    return found.signingKey === undefined ? await write(paths, { ...found, signingKey: newSigningKey() }) : found;
  }
  await mkdir(paths.home, { recursive: true, mode: 0o700 });
  const secrets: Secrets = {
    mysqlRootPassword: secret(),
    mysqlAppPassword: secret(),
    mysqlDebeziumPassword: secret(),
    s3AccessKey: `mw${randomBytes(8).toString('hex')}`,
    s3SecretKey: secret(30),
    operatorKey: `mwk_operator_${secret()}`,
    internalToken: secret(),
    signingKey: newSigningKey(),
  };
  await writeFile(paths.operatorKeyFile, `${secrets.operatorKey}\n`, { mode: 0o600 });
  return await write(paths, secrets);
}

async function write(paths: Paths, secrets: Secrets): Promise<Secrets> {
  const temporary = `${paths.secretsFile}.new`;
  await writeFile(temporary, JSON.stringify(secrets, null, 2), { mode: 0o600 });
  await rename(temporary, paths.secretsFile);
  return secrets;
}
