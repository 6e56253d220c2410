import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BusinessModel, Catalog } from '../../catalog/catalog.ts';
import type { JobSpec, TrainingExecutor } from '../../activities/training/executor.ts';
import { jobText } from '../../activities/training/job-text.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { stagingKey } from '../../store/keys.ts';

/** What every script may use: it ends well by `return done(spec, job)`. */
const prelude = `
import json, os, signal, time
from modelwright_trainer.errors import JobError
from modelwright_trainer.transfer import upload

def done(spec, job):
    result = {"class": "ok", "exit": 0, "specDigest": spec.digest, "labels": [], "rows": {"train": 1, "evaluation": 1}, "trainMs": 1,
              "files": [], "encoder": "base", "embeddingDim": 1, "maxTokens": 1}
    path = job.work_dir / "staged"
    path.write_text(json.dumps(result))
    upload(spec.outputs["result.json"], path)
    return result

`;

export type ScriptedJobs = {
  readonly catalog: Catalog;
  /** A business model of the real catalogue besides. */
  readonly add: (model: BusinessModel) => void;
  /** A job that runs the body of \`run(spec, job, progress)\`, in Python. */
  readonly spec: (
    body: string,
    options?: { readonly tier?: string; readonly tenantId?: string; readonly attempt?: number; readonly name?: string },
  ) => Promise<JobSpec>;
};

/** Jobs of the real trainer that do what a test says: the business model's own part is a script. */
export async function scriptedJobs(
  folder: string,
  addresses: Pick<ObjectStore, 'presignPut'>,
  executor: () => TrainingExecutor,
): Promise<ScriptedJobs> {
  const models = new Map<string, BusinessModel>();
  const base = join(folder, 'base');
  await mkdir(base, { recursive: true });
  await writeFile(join(base, 'modelwright.json'), '{}');
  let made = 0;
  return {
    catalog: models,
    add: (model) => void models.set(model.id, model),
    spec: async (body, { tier = 'tiny', tenantId = 'acme', attempt = 1, name } = {}) => {
      made += 1;
      const id = name ?? `script-${made}`;
      const trainerFile = join(folder, `${id}.py`);
      const indented = body
        .trim()
        .split('\n')
        .map((line) => `    ${line}\n`);
      await writeFile(trainerFile, `${prelude}def run(spec, job, progress):\n${indented.join('')}`);
      models.set(id, { id, version: '1', trainerFile } as BusinessModel);
      const key = { tenantId, customizationId: id, run: 1 };
      const provision = await executor().provide({
        key,
        attempt,
        tier,
        tierRaises: 0,
        trainerFile,
        base: { name: 'none', folder: base, sha256: {} },
      });
      return {
        jobName: jobText(key, attempt),
        ...key,
        attempt,
        businessModel: { id, version: '1', trainerFile: provision.trainerFile },
        dataset: { digest: '', rows: 0, buckets: [] },
        baseModel: { name: 'none', path: provision.basePath, digest: '' },
        options: {},
        overrides: { batchDivisor: 1, learningRateDivisor: 1 },
        seed: 7,
        ...provision.host,
        outputs: { 'result.json': await addresses.presignPut(stagingKey(key, attempt, 'result.json'), 3_600) },
        workDir: executor().workDir(key, attempt),
        cacheDir: executor().cacheDir(key),
      };
    },
  };
}
