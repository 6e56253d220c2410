import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectDir } from '../platform/paths.ts';

/** Which top folders and packages the files of a folder may import at run time; type imports are free for workflows. */
const rules: readonly { readonly files: string; readonly folders: readonly string[]; readonly packages: RegExp }[] = [
  { files: 'core/**/*.ts', folders: ['core'], packages: /^$/ },
  { files: 'workflows/**/*.ts', folders: ['core', 'workflows'], packages: /^@temporalio\/workflow$/ },
  {
    files: 'api/**/*.ts',
    folders: ['api', 'core', 'platform', 'catalog', 'sources', 'store'],
    packages: /^(?!@temporalio\/worker|kafkajs)/,
  },
  {
    files: 'activities/**/*.ts',
    folders: ['activities', 'core', 'platform', 'catalog', 'sources', 'store'],
    packages: /^(?!kafkajs|fastify)/,
  },
  { files: 'predictor/**/*.ts', folders: ['predictor', 'catalog', 'core', 'platform', 'store'], packages: /^(?!@temporalio|kafkajs)/ },
  { files: 'catalog/**/*.ts', folders: ['catalog', 'core', 'platform'], packages: /^(zod$|node:)/ },
  { files: 'sources/**/*.ts', folders: ['catalog', 'core', 'platform', 'sources'], packages: /^(?!@temporalio|kafkajs|fastify)/ },
  { files: 'store/**/*.ts', folders: ['core', 'platform', 'store'], packages: /^(?!@temporalio|kafkajs|fastify|mysql2)/ },
];

const isTest = (file: string): boolean => file.endsWith('.test.ts');

function imports(file: string): { readonly specifier: string; readonly typeOnly: boolean }[] {
  const source = readFileSync(join(projectDir, file), 'utf8');
  return [...source.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm)].map((match) => ({
    specifier: match[2] ?? '',
    typeOnly: Boolean(match[1]),
  }));
}

describe('folder boundaries', () => {
  for (const rule of rules) {
    it(`${rule.files} import only ${rule.folders.join(', ')}`, () => {
      const files = globSync(rule.files, { cwd: projectDir }).filter((file) => !isTest(file));
      expect(files.length).toBeGreaterThan(0);
      const wrong = files.flatMap((file) =>
        imports(file)
          .filter(({ typeOnly }) => !(typeOnly && file.startsWith('workflows/')))
          .filter(({ specifier }) => {
            if (!specifier.startsWith('.')) return !rule.packages.test(specifier);
            const target = normalize(join(dirname(file), specifier)).split('/')[0] ?? '';
            return !rule.folders.includes(target);
          })
          .map(({ specifier }) => `${file} imports ${specifier}`),
      );
      expect(wrong).toEqual([]);
    });
  }

  it('no file of the platform names a business model: one folder is all that there is of it', () => {
    const ids = globSync('catalog/*/business-model.json', { cwd: projectDir }).map((file) => file.split('/')[1] ?? '');
    expect(ids.length).toBeGreaterThanOrEqual(5);
    const files = globSync('{core,platform,workflows,activities,workers,predictor,sources,store,api,infra}/**/*.ts', { cwd: projectDir });
    const naming = [
      ...files.filter((file) => !isTest(file)),
      ...globSync('catalog/*.ts', { cwd: projectDir }).filter((file) => !isTest(file)),
    ];
    const wrong = naming.filter((file) => ids.some((id) => readFileSync(join(projectDir, file), 'utf8').includes(id)));
    expect(wrong).toEqual([]);
  });

  it('one file loads ONNX Runtime, which reports to its maker unless it is told not to before', () => {
    const files = globSync('{catalog,activities,workers,predictor,api,cli,infra,test,bench,trainer}/**/*.ts', { cwd: projectDir });
    const loading = files.filter((file) =>
      /from '(onnxruntime-node)'|import\('onnxruntime-node'\)/.test(readFileSync(join(projectDir, file), 'utf8')),
    );
    expect(loading).toEqual(['predictor/onnx-runtime.ts']);
  });

  it('no file but tests and tables of data is longer than 300 lines', () => {
    const files = globSync(
      '{core,platform,catalog,workflows,activities,workers,predictor,sources,store,api,cli,infra,test,bench}/**/*.ts',
      {
        cwd: projectDir,
      },
    ).filter((file) => !isTest(file));
    const long = files.filter((file) => readFileSync(join(projectDir, file), 'utf8').split('\n').length > 301);
    expect(long).toEqual([]);
  });
});
