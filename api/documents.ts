import { loadCatalog } from '../catalog/catalog.ts';
import { createLogger } from '../platform/logger.ts';
import { buildApp } from './app.ts';
import type { ApiContext } from './context.ts';
import { errorsPage } from './problems.ts';

/** Files that are made from the code, by path: a test says when one is out of date. Nothing is connected to for it. */
export async function documents(): Promise<Record<string, string>> {
  // Routes are described, never called: what they would work with is not needed.
  const nothing = {} as ApiContext;
  const app = await buildApp({ ...nothing, catalog: await loadCatalog(), logger: createLogger('docs', 'silent') });
  const openapi = `${JSON.stringify(app.swagger(), null, 2)}\n`;
  await app.close();
  return { 'docs/openapi.json': openapi, 'docs/08-errors.md': errorsPage() };
}
