import { Context } from '@temporalio/activity';
import { failure } from '../../activities/failure.ts';
import type {
  ControlActivities,
  DatasetActivities,
  ShardingActivities,
  TrainingActivities,
  TrainingFailureDetail,
} from '../../activities/ports.ts';
import type { ChangeDigest } from '../../core/change-digest.ts';
import type { CustomizationSnapshot } from '../../core/customization.ts';
import { type DirtyBuckets, listBuckets, noBuckets, withBucket } from '../../core/dirty-buckets.ts';
import type { FailureType } from '../../core/failure-types.ts';
import type { CustomizationKey, RunKey } from '../../core/ids.ts';
import type { GateVerdict, TrainingMetrics } from '../../core/model.ts';
import { type Policy, defaultPolicy } from '../../core/policy.ts';
import type { TenantQuotas } from '../../core/quotas.ts';
import { endedRunStates } from '../../core/run.ts';
import type { FakeForgetting } from './fake-forgetting.ts';
import { decideFakeSchema, newFakeSchema, refuseHeld } from './fake-schema.ts';
import { fakeGpuUse, fakeOutcome, fakeSnapshot, fakeVerdict, newFakeRun } from './fake-rows.ts';
import type { FakeCustomization, FakeRun } from './fake-tables.ts';
import { bucketOf, optionsDigest, sha256Hex } from '../../platform/hash.ts';

const source = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
const ref = { bucket: 'b', key: 'k', sha256: '0'.repeat(64), bytes: 1 };
const metrics: TrainingMetrics = { metric: 'f1', unit: 'share', values: { f1: 1 }, rows: { train: 8, evaluation: 2 }, perLabel: {} };

/**
 * Our own ports over a table in memory: rows really change, datasets really hold what the table held at their cut.
 * `onTrain` and `onActivity` are where a test makes a training wait or fail.
 */
export class FakePlatform {
  readonly customizations = new Map<string, FakeCustomization>();
  readonly decisions: { readonly customizationId: string; readonly kind: string; readonly reason: string }[] = [];
  readonly calls: string[] = [];
  /** By `customization/number`, all of one tenant. */
  readonly forgettings = new Map<string, FakeForgetting>();
  forgettingTenant = '';
  readonly discarded: RunKey[] = [];
  /** What jobs were stopped, one after another. */
  readonly stopped: { readonly customizationId: string; readonly run: number; readonly attempt: number }[] = [];
  quotas: TenantQuotas = {};
  /** Of every attempt, however it ends. */
  gpuSeconds: number | null = null;
  /** False: a training that is cancelled ends by itself all the same. */
  heedsCancel = true;
  sweeps = 0;
  sequence = 0;
  versions = 0;
  minimumRows = 1;
  verdict: GateVerdict['verdict'] = 'promote';
  onTrain: (input: RunKey & { readonly attempt: number }) => Promise<void> = () => Promise.resolve();
  onActivity: (name: string) => Promise<void> = () => Promise.resolve();

  create(customizationId: string, policy: Partial<Policy> = {}): FakeCustomization {
    const customization: FakeCustomization = {
      policy: { ...defaultPolicy, quietPeriodMs: 150, maxWaitMs: 5_000, ...policy },
      state: 'active',
      options: { method: 'head' },
      table: new Map(),
      schema: newFakeSchema(),
      datasets: [],
      runs: [],
      trainings: [],
      learned: new Map(),
      trainedOptions: null,
      production: null,
      previous: null,
    };
    this.customizations.set(customizationId, customization);
    return customization;
  }

  /** Commits row changes (null deletes) in one transaction and returns what sensing would say. */
  commit(tenantId: string, customizationId: string, rows: Readonly<Record<string, string | null>>, configured = false): ChangeDigest {
    const sequence = ++this.sequence;
    const counts = { inserted: 0, updated: 0, deleted: 0 };
    const table = this.customizations.get(customizationId)?.table;
    let dirtyBuckets: DirtyBuckets = noBuckets;
    for (const [id, value] of Object.entries(rows)) {
      counts[value === null ? 'deleted' : table?.has(id) ? 'updated' : 'inserted'] += 1;
      dirtyBuckets = withBucket(dirtyBuckets, bucketOf(id));
      if (value === null) table?.delete(id);
      else table?.set(id, value);
    }
    const gtid = `${source}:${sequence}`;
    const now = Date.now();
    return {
      tenantId,
      customizations: { [customizationId]: { ...counts, dirtyBuckets, firstCommitMs: now, lastCommitMs: now, lastGtid: gtid, configured } },
      ranges: {
        'mw.modelwright.examples/0': {
          firstOffset: String(sequence),
          lastOffset: String(sequence),
          last: { gtid, file: 'binlog.000001', pos: sequence * 100, row: 0 },
        },
      },
    };
  }

  #of({ customizationId }: CustomizationKey): FakeCustomization {
    const found = this.customizations.get(customizationId);
    if (!found) throw failure('CustomizationGone', `customization ${customizationId} was deleted`);
    return found;
  }
  #run(key: RunKey): FakeRun {
    const run = this.#of(key).runs[key.run - 1];
    if (!run) throw failure('CustomizationGone', `run ${key.run} has no row`);
    return run;
  }

  get #used(): { readonly gpuSeconds?: number } {
    return this.gpuSeconds === null ? {} : { gpuSeconds: this.gpuSeconds };
  }

  #snapshot(customizationId: string): CustomizationSnapshot | null {
    const c = this.customizations.get(customizationId);
    return c ? fakeSnapshot(customizationId, c, this.quotas) : null;
  }

  /** What a real dataset does: reads the dirty buckets and reuses the parent's others. */
  #read(c: FakeCustomization, dirtyBuckets: DirtyBuckets | null): Map<string, string> {
    refuseHeld(c.schema);
    const parent = c.datasets.at(-1);
    if (!parent || dirtyBuckets === null) return new Map(c.table);
    const dirty = new Set(listBuckets(dirtyBuckets));
    return new Map([
      ...[...parent.rows].filter(([id]) => !dirty.has(bucketOf(id))),
      ...[...c.table].filter(([id]) => dirty.has(bucketOf(id))),
    ]);
  }

  readonly control: ControlActivities = {
    loadTenant: async () => ({
      customizations: [...this.customizations.keys()].flatMap((id) => this.#snapshot(id) ?? []),
      quotas: this.quotas,
      gpuUse: [...this.customizations].flatMap(([customizationId, { runs }]) => fakeGpuUse(customizationId, runs)),
    }),
    loadCustomization: async ({ customizationId }) => this.#snapshot(customizationId),
    loadRun: async ({ customizationId, run }) => fakeOutcome(customizationId, this.customizations.get(customizationId), run),
    setCustomizationState: async (input) => {
      this.#of(input).state = input.state;
    },
    openRun: async (input) => {
      await this.onActivity('openRun');
      const { runs } = this.#of(input);
      const known = runs.find(({ requestKey }) => requestKey === input.requestKey);
      if (known) return { run: known.number };
      runs.push(newFakeRun(runs.length + 1, input));
      return { run: runs.length };
    },
    recordDecision: async ({ customizationId, kind, reason }) => void this.decisions.push({ customizationId, kind, reason }),
    recordRun: async (input) => {
      await this.onActivity('recordRun');
      const run = this.customizations.get(input.customizationId)?.runs[input.run - 1];
      if (!run || endedRunStates.includes(run.state)) return;
      run.state = input.state;
      if (run.states.at(-1) !== input.state) run.states.push(input.state);
      run.reason = input.reason ?? run.reason;
      run.dataset = input.datasetNumber ?? run.dataset;
      run.failureClass = input.failureClass ?? run.failureClass;
      run.version = input.version ?? run.version;
      run.gpuSeconds = input.gpuSeconds ?? run.gpuSeconds;
      if (input.paused !== undefined) run.paused = input.paused;
      if (endedRunStates.includes(input.state)) run.paused = null;
    },
    raiseAttempt: async (input) => {
      const run = this.#run(input);
      run.attempt = Math.max(run.attempt, input.attempt);
      run.gpuSeconds = input.gpuSeconds ?? run.gpuSeconds;
    },
    promoteModel: async (input) => {
      await this.onActivity('promoteModel');
      const c = this.#of(input);
      if (input.version > this.versions) throw failure('BadOptions', `there is no version v${input.version}`);
      if (c.production !== input.version) [c.previous, c.production] = [c.production, input.version];
      return { production: c.production, previous: c.previous };
    },
    decideSchema: async (input) => decideFakeSchema(this.#of(input).schema, input),
    rollbackModel: async (input) => {
      const c = this.#of(input);
      if (c.previous === null) throw failure('BadOptions', 'there is no previous version to roll back to');
      [c.previous, c.production] = [c.production, c.previous];
      return { production: c.production, previous: c.previous };
    },
  };

  readonly dataset: DatasetActivities = {
    planDataset: async (input) => {
      await this.onActivity('planDataset');
      const c = this.#of(input);
      const parent = c.datasets.at(-1)?.rows ?? new Map<string, string>();
      const rows = this.#read(c, input.dirtyBuckets);
      const ids = new Set([...rows.keys(), ...parent.keys()]);
      const changedRows = [...ids].filter((id) => rows.get(id) !== parent.get(id)).length;
      const ready = rows.size >= this.minimumRows;
      const reasons = ready ? [] : [`${rows.size} of ${this.minimumRows} examples`];
      return { netChange: changedRows > 0, ready, reasons, rows: rows.size, changedRows, cut: `${source}:1-${this.sequence}` };
    },
    buildDataset: async (input) => {
      await this.onActivity('buildDataset');
      const c = this.#of(input);
      const run = this.#run(input);
      let built = c.datasets.find(({ number }) => number === run.dataset);
      if (!built) {
        const rows = this.#read(c, input.dirtyBuckets);
        const digest = sha256Hex(JSON.stringify([...rows].sort(([a], [b]) => (a < b ? -1 : 1))));
        built = { number: c.datasets.length + 1, rows, digest, cut: `${source}:1-${this.sequence}` };
        c.datasets.push(built);
        run.dataset = built.number;
      }
      const { number, digest, rows, cut } = built;
      return { number, digest, rows: rows.size, cut, manifest: ref, bucketsRead: 1, bucketsReused: 0 };
    },
    evaluateGate: async () => {
      await this.onActivity('evaluateGate');
      return fakeVerdict(this.verdict);
    },
  };

  readonly training: TrainingActivities = {
    claimTraining: async (input) => {
      const c = this.#of(input);
      const key = `${input.dataset.digest}/${optionsDigest(c.options)}`;
      const owner = c.learned.get(key);
      return { duplicateOf: owner !== undefined && owner !== input.run && !input.force ? owner : null };
    },
    train: async (input) => {
      const c = this.#of(input);
      c.trainings.push({ run: input.run, attempt: input.attempt, overrides: input.overrides, rows: input.dataset.rows });
      const beat = setInterval(() => Context.current().heartbeat(), 200);
      try {
        const trained = this.onTrain(input);
        await (this.heedsCancel ? Promise.race([trained, Context.current().cancelled]) : trained);
      } finally {
        clearInterval(beat);
      }
      c.learned.set(`${input.dataset.digest}/${optionsDigest(c.options)}`, input.run);
      c.trainedOptions = optionsDigest(c.options);
      const { customizationId, run, attempt } = input;
      return {
        jobName: `${customizationId}-${run}-${attempt}`,
        trainerDigest: 't',
        optionsDigest: 'o',
        files: {},
        metrics,
        labels: 2,
        encoder: 'base',
        trainingMs: 5,
        ...this.#used,
      };
    },
    stopTraining: async ({ customizationId, run, attempt }) => {
      await this.onActivity('stopTraining');
      this.stopped.push({ customizationId, run, attempt });
      return this.#used;
    },
    forgetTraining: async ({ customizationId }) => {
      await this.onActivity('forgetTraining');
      this.calls.push(`forget trainings of ${customizationId}`);
    },
    sweepJobs: async () => {
      await this.onActivity('sweepJobs');
      return { removed: ++this.sweeps, kept: 0 };
    },
    discardTraining: async ({ tenantId, customizationId, run, keepClaim }) => {
      if (!keepClaim) this.discarded.push({ tenantId, customizationId, run });
    },
  };

  readonly sharding: ShardingActivities = {
    shardModel: async () => {
      await this.onActivity('shardModel');
      return { version: this.versions + 1, manifest: ref, bytes: 10, storedBytes: 1, parent: null };
    },
    publishModel: async (input) => {
      await this.onActivity('publishModel');
      const run = this.#run(input);
      if (run.attempt > input.attempt) throw failure('Fenced', `attempt ${input.attempt} was replaced by attempt ${run.attempt}`);
      run.version ??= ++this.versions;
      return { version: run.version };
    },
    warmModel: async () => ({ warm: true }),
  };

  /** Fails the first attempts of the training with these types, one after another. */
  failTrainings(...types: FailureType[]): void {
    this.failWith({}, ...types);
  }

  /** The same, with details. */
  failWith(detail: TrainingFailureDetail, ...types: FailureType[]): void {
    const left = [...types];
    this.onTrain = async () => {
      const type = left.shift();
      if (type) throw failure(type, `the training ended with ${type}`, undefined, [{ ...this.#used, ...detail }]);
    };
  }
}
