import type { WorkflowHandle } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { NativeConnection, Runtime, Worker, type WorkflowBundle } from '@temporalio/worker';
import type { ChangeDigest } from '../../core/change-digest.ts';
import { forgetWorkflowId, tenantWorkflowId } from '../../core/ids.ts';
import {
  forgetType,
  janitorType,
  storeGcType,
  storeScrubType,
  taskQueues,
  tenantWorkflowType,
  verificationType,
  verifyAllType,
} from '../../core/task-queues.ts';
import { type CustomizationStatus, type TenantStatus, messageNames } from '../../core/tenant-messages.ts';
import { tenantStart } from '../../core/tenant-start.ts';
import { bundleWorkflows } from '../../workers/workflow-bundle.ts';
import { fakeForgetting } from './fake-forgetting.ts';
import type { FakePlatform } from './fake-platform.ts';
import { fakeStoreCare } from './fake-store-care.ts';
import { fakeVerification } from './fake-verification.ts';
import { startTemporal } from './temporal-env.ts';

let bundle: Promise<WorkflowBundle> | null = null;

let quiet = false;
/** A test process says what failed, not what the SDK does. Once, before anything else of the SDK. */
export function quietTemporal(): void {
  if (!quiet) Runtime.install({ logger: { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {} } });
  quiet = true;
}

/** One bundle a test process. */
export const workflowBundle = (): Promise<WorkflowBundle> => (bundle ??= bundleWorkflows().then((code) => ({ code })));

/** A Temporal server, and workers of all queues over fakes of our ports. */
export class WorkflowFixture {
  readonly env: TestWorkflowEnvironment;
  #running: { readonly worker: Worker; readonly ended: Promise<void>; readonly connection: NativeConnection }[] = [];
  #tenants = 0;

  private constructor(env: TestWorkflowEnvironment) {
    this.env = env;
  }

  static async start(): Promise<WorkflowFixture> {
    quietTemporal();
    return new WorkflowFixture(await startTemporal());
  }

  async stop(): Promise<void> {
    await this.stopWorkers();
    await this.env.teardown();
  }

  /** Workers over a platform; `only` limits them to some queues, `cache` the workflows that stay in memory. */
  async work(
    platform: FakePlatform,
    options: { readonly only?: readonly (keyof typeof taskQueues)[]; readonly cache?: number } = {},
  ): Promise<void> {
    const activities = {
      orchestrator: platform.control,
      dataset: { ...platform.dataset, ...fakeVerification(platform) },
      training: platform.training,
      trainingControl: platform.training,
      sharding: { ...platform.sharding, ...fakeStoreCare(platform), ...fakeForgetting(platform) },
    };
    for (const name of options.only ?? (Object.keys(taskQueues) as (keyof typeof taskQueues)[])) {
      const connection = await NativeConnection.connect({ address: this.env.address });
      const worker = await Worker.create({
        connection,
        taskQueue: taskQueues[name],
        activities: activities[name],
        ...(options.cache === undefined ? {} : { maxCachedWorkflows: options.cache }),
        ...(name === 'orchestrator' ? { workflowBundle: await workflowBundle() } : {}),
        maxHeartbeatThrottleInterval: '500 milliseconds',
        shutdownGraceTime: 0,
        shutdownForceTime: '2 seconds',
      });
      this.#running.push({ worker, connection, ended: worker.run().catch(() => undefined) });
    }
  }

  async stopWorkers(): Promise<void> {
    const running = this.#running.splice(0);
    for (const { worker } of running) if (worker.getState() === 'RUNNING') worker.shutdown();
    await Promise.all(running.map(({ ended }) => ended));
    await Promise.all(running.map(({ connection }) => connection.close()));
  }

  /** Ends a test: a workflow that it left alive would go on with the next test's platform, which has customizations of the same names. */
  async clear(): Promise<void> {
    const { workflow } = this.env.client;
    for await (const { workflowId, runId } of workflow.list({ query: 'ExecutionStatus = "Running"' }))
      // It may have ended by itself meanwhile.
      await workflow
        .getHandle(workflowId, runId)
        .terminate('the test has ended')
        .catch(() => undefined);
    await this.stopWorkers();
  }

  tenant(): TenantClient {
    return new TenantClient(this, `tenant-${++this.#tenants}`);
  }
}

/** What a change consumer and a person do to one tenant. */
export class TenantClient {
  readonly #fixture: WorkflowFixture;
  readonly tenantId: string;
  constructor(fixture: WorkflowFixture, tenantId: string) {
    this.#fixture = fixture;
    this.tenantId = tenantId;
  }

  get handle(): WorkflowHandle {
    return this.#fixture.env.client.workflow.getHandle(tenantWorkflowId(this.tenantId));
  }
  run(customizationId: string, run: number): WorkflowHandle {
    return this.#fixture.env.client.workflow.getHandle(`tenant/${this.tenantId}/${customizationId}/run/${run}`);
  }

  /** Compares one of its customizations, or everything, and returns the workflow that did. */
  async compare(customizationId: string | null = null): Promise<WorkflowHandle> {
    const one = { tenantId: this.tenantId, customizationId };
    const all = { after: null, totals: { verified: 0, ok: 0, violated: 0, stalled: 0, failed: 0 } };
    const handle = await this.#fixture.env.client.workflow.start(customizationId === null ? verifyAllType : verificationType, {
      workflowId: customizationId === null ? 'verify-all' : `${tenantWorkflowId(this.tenantId)}/${customizationId}/verify`,
      taskQueue: taskQueues.orchestrator,
      args: [customizationId === null ? all : one],
    });
    await handle.result();
    return handle;
  }

  /** A round of the janitor. */
  async sweep(): Promise<WorkflowHandle> {
    const handle = await this.#fixture.env.client.workflow.start(janitorType, {
      workflowId: `janitor/${this.tenantId}`,
      taskQueue: taskQueues.orchestrator,
      args: [],
    });
    await handle.result();
    return handle;
  }

  /** Forgets what the platform was asked to. */
  async forget(customizationId: string, number: number): Promise<WorkflowHandle> {
    const key = { tenantId: this.tenantId, customizationId, number };
    const handle = await this.#fixture.env.client.workflow.start(forgetType, {
      workflowId: forgetWorkflowId(key),
      taskQueue: taskQueues.orchestrator,
      args: [key],
    });
    await handle.result();
    return handle;
  }

  /** A round of the care for the store: garbage, or reading a share. */
  async careForStore(what: 'gc' | 'scrub'): Promise<WorkflowHandle> {
    const handle = await this.#fixture.env.client.workflow.start(what === 'gc' ? storeGcType : storeScrubType, {
      workflowId: `store-${what}/${this.tenantId}`,
      taskQueue: taskQueues.orchestrator,
      args: [what === 'gc' ? { dryRun: false } : { everything: false }],
    });
    await handle.result();
    return handle;
  }

  async sense(digest: ChangeDigest): Promise<void> {
    const options = { ...tenantStart(this.tenantId), signal: messageNames.changesSensed, signalArgs: [digest] };
    await this.#fixture.env.client.workflow.signalWithStart(tenantWorkflowType, options);
  }

  /** Waits until the tenant knows the customization: its workflow may be starting. */
  async status(customizationId = 'c'): Promise<CustomizationStatus> {
    const look = async () =>
      (await this.handle.query<TenantStatus>(messageNames.getStatus)).customizations.find((one) => one.customizationId === customizationId);
    const found = await eventually(look, (seen) => seen !== undefined);
    if (!found) throw new Error(`the tenant does not know ${customizationId}`);
    return found;
  }

  update<T>(name: keyof typeof messageNames, request: object): Promise<T> {
    return this.handle.executeUpdate<T, [object]>(messageNames[name], { args: [request] });
  }
}

/** Waits until a condition holds; says what it saw last if it does not within the time. */
export async function eventually<T>(look: () => T | Promise<T>, holds: (seen: T) => boolean, withinMs = 50_000): Promise<T> {
  const endMs = Date.now() + withinMs;
  for (;;) {
    const seen = await look();
    if (holds(seen)) return seen;
    if (Date.now() > endMs) throw new Error(`not within ${withinMs} ms; last seen: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
