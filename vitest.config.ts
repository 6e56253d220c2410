import { defineConfig } from 'vitest/config';

const exclude = ['**/node_modules/**', '**/.modelwright/**'];
const special = ['**/*.wf.test.ts', '**/*.it.test.ts', '**/*.chaos.test.ts', '**/*.cluster.test.ts'];

/** The suffix of a test tells its environment: none, a Temporal server, real engines, the whole stack with faults, or a Kubernetes cluster. */
export default defineConfig({
  test: {
    pool: 'forks',
    projects: [
      { extends: true, test: { name: 'unit', include: ['**/*.test.ts'], exclude: [...exclude, ...special] } },
      {
        extends: true,
        test: { name: 'wf', include: ['**/*.wf.test.ts'], exclude, testTimeout: 120_000, hookTimeout: 120_000, fileParallelism: false },
      },
      {
        extends: true,
        test: { name: 'it', include: ['**/*.it.test.ts'], exclude, testTimeout: 180_000, hookTimeout: 300_000, fileParallelism: false },
      },
      {
        extends: true,
        test: {
          name: 'chaos',
          include: ['**/*.chaos.test.ts'],
          exclude,
          testTimeout: 900_000,
          hookTimeout: 900_000,
          fileParallelism: false,
        },
      },
      {
        extends: true,
        test: {
          name: 'cluster',
          include: ['**/*.cluster.test.ts'],
          exclude,
          testTimeout: 900_000,
          hookTimeout: 900_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
