import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadConfig, parseSettings } from '../platform/config.ts';
import { type Paths, resolvePaths } from '../platform/paths.ts';
import { type ApiClient, createApiClient } from './api-client.ts';
import { CommandError } from './command.ts';

/** The tenant that the CLI speaks for when MW_KEY is not set: the last one that was made here. */
type StoredKey = { readonly tenant: string; readonly key: string };

const fileOf = (paths: Paths): string => join(paths.home, 'cli.json');

export const apiUrl = (): string =>
  process.env['MW_URL']?.replace(/\/+$/, '') ?? `http://127.0.0.1:${parseSettings(process.env).MW_API_PORT}`;

/** Speaks as the tenant of MW_KEY, or of the last `mw tenant` or `mw demo` of this installation. */
export function tenantClient(): ApiClient {
  const key = process.env['MW_KEY'] ?? storedKey()?.key;
  if (key === undefined) throw new CommandError('no tenant key: set MW_KEY, or make a tenant with `./mw tenant NAME`');
  return createApiClient(apiUrl(), key);
}

/** Speaks as the operator: with MW_KEY where the API is elsewhere, with this installation's own key otherwise. */
export function operatorClient(): ApiClient {
  if (process.env['MW_URL'] === undefined) return createApiClient(apiUrl(), loadConfig(process.env).operatorKey);
  const key = process.env['MW_OPERATOR_KEY'] ?? process.env['MW_KEY'];
  if (key === undefined) throw new CommandError('MW_URL is set: set MW_OPERATOR_KEY to its operator key too');
  return createApiClient(apiUrl(), key);
}

export async function storeKey(stored: StoredKey): Promise<void> {
  const paths = resolvePaths(process.env);
  await mkdir(paths.home, { recursive: true, mode: 0o700 });
  await writeFile(`${fileOf(paths)}.new`, JSON.stringify(stored), { mode: 0o600 });
  await rename(`${fileOf(paths)}.new`, fileOf(paths));
}

function storedKey(): StoredKey | null {
  const file = fileOf(resolvePaths(process.env));
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as StoredKey) : null;
}
