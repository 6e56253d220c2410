import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectDir } from '../platform/paths.ts';
import { documents } from './documents.ts';

describe('documents that are made from the code', () => {
  it('are as the code says; `node api/write-docs.ts` writes them anew', async () => {
    const made = await documents();
    for (const [path, text] of Object.entries(made))
      expect(`${path}\n${readFileSync(join(projectDir, path), 'utf8')}`).toBe(`${path}\n${text}`);
  });

  it('name every route of the contract under its own name', async () => {
    const { paths, openapi } = JSON.parse((await documents())['docs/openapi.json'] ?? '') as {
      paths: Record<string, object>;
      openapi: string;
    };
    expect(openapi).toBe('3.1.0');
    const routes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    for (const route of [
      'POST /v1/customizations/{c}/examples:import',
      'GET /v1/customizations/{c}/examples:export',
      'POST /v1/customizations/{c}:predict',
      'POST /v1/predictions/{id}:feedback',
      'POST /v1/customizations/{c}:retrain',
      'POST /v1/customizations/{c}:rollback',
      'POST /v1/customizations/{c}/models/{v}:promote',
      'POST /v1/customizations/{c}/runs/{n}:cancel',
      'GET /v1/receipts/{gtid}',
      'PUT /v1/customizations/{c}/examples/{exampleId}',
    ])
      expect(routes).toContain(route);
    expect(Object.keys(paths).filter((path) => path.includes('$'))).toEqual([]);
  });
});
