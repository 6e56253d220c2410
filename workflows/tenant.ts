import {
  CancellationScope,
  allHandlersFinished,
  condition,
  continueAsNew,
  isCancellation,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import type { ControlActivities } from '../activities/ports.ts';
import type { CustomizationPhase } from '../core/tenant-messages.ts';
import { controlOptions } from './activity-options.ts';
import { changesMissed, changesSensed, explainWhy, getPending, getStatus, retrain, runFinished, schemaChanged } from './messages.ts';
import { tenantCommands } from './tenant-commands.ts';
import { decide } from './tenant-decide.ts';
import { type TenantEvent, applyEvent } from './tenant-events.ts';
import { type Command, type TenantState, newTenantState } from './tenant-state.ts';
import { heldReason, tenantDetails, tenantPending, tenantPhase, tenantStatus } from './tenant-status.ts';
import { handleUpdates } from './tenant-updates.ts';
import { showTo } from './visibility.ts';
import { clockTime } from './wording.ts';

/** Input of a tenant workflow; whoever starts one gives the tenant id alone. */
export type TenantInput = {
  readonly tenantId: string;
  readonly carried?: { readonly state: TenantState; readonly queue: readonly TenantEvent[] };
};

/** The server takes 10,000 signals an execution and suggests nothing before; this leaves room for a burst. */
const signalsPerExecution = 2_000;

/** The durable entity of one tenant: hears of changes, and starts training runs when its policies say so. */
export async function tenantWorkflow(input: TenantInput): Promise<never> {
  const { tenantId } = input;
  let state = input.carried?.state ?? newTenantState(tenantId);
  const queue: TenantEvent[] = [...(input.carried?.queue ?? [])];
  let ready = input.carried !== undefined;
  let signals = 0;
  let inFlight = 0;
  let shownPhase: CustomizationPhase | null = null;
  let shownHeld: string | null = null;

  const enqueue = (event: TenantEvent): void => void queue.push(event);
  const signalled = (event: TenantEvent): void => {
    signals += 1;
    enqueue(event);
  };
  setHandler(changesSensed, (digest) => signalled({ type: 'changesSensed', digest }));
  setHandler(changesMissed, (missed) => signalled({ type: 'changesMissed', missed }));
  setHandler(schemaChanged, (change) => signalled({ type: 'schemaChanged', change }));
  setHandler(runFinished, (outcome) => signalled({ type: 'runFinished', outcome }));
  setHandler(retrain, (request) => signalled({ type: 'retrain', request }));
  setHandler(getStatus, () => tenantStatus(state, Date.now()));
  setHandler(getPending, () => tenantPending(state, Date.now()));
  setHandler(explainWhy, (customizationId) =>
    tenantStatus(state, Date.now())
      .customizations.filter((status) => customizationId === undefined || status.customizationId === customizationId)
      .map((status) => `${status.customizationId} is ${status.phase}: ${status.why}`)
      .join('\n'),
  );
  handleUpdates(tenantId, {
    ready: () => ready,
    state: () => state,
    enqueue,
    answered: (answer) => signalled({ type: 'pauseAnswered', answer }),
    apply: (event) => {
      state = applyEvent(state, event, Date.now()).state;
    },
  });

  const execute = tenantCommands(tenantId, enqueue);
  const begin = (commands: readonly Command[]): void => {
    for (const command of commands) {
      inFlight += 1;
      void execute(command)
        .catch((error: unknown) => {
          if (!isCancellation(error)) failed = error;
        })
        .finally(() => (inFlight -= 1));
    }
  };
  let failed: unknown = null;

  const alarm = wakeUpCall();
  if (!ready) {
    showTo({ tenantId });
    const { loadTenant } = proxyActivities<ControlActivities>({
      ...controlOptions(tenantId),
      summary: 'read the tenant from the database',
    });
    state = applyEvent(state, { type: 'tenantLoaded', ...(await loadTenant({ tenantId })) }, Date.now()).state;
    ready = true;
  }

  for (;;) {
    for (let event = queue.shift(); event; event = queue.shift()) {
      const step = applyEvent(state, event, Date.now());
      state = step.state;
      begin(step.commands);
    }
    const full = signals >= signalsPerExecution || workflowInfo().continueAsNewSuggested;
    // Commands end in seconds, except a long comparison: work goes on meanwhile, until the execution is really full.
    if (!full || signals < 2 * signalsPerExecution) {
      const decision = decide(state, Date.now());
      state = decision.state;
      begin(decision.commands);
      alarm.setFor(decision.wakeAtMs);
    }
    setCurrentDetails(tenantDetails(state, Date.now()));
    const phase = tenantPhase(state);
    if (phase !== shownPhase) {
      shownPhase = phase;
      const lagMs = Math.max(0, ...tenantStatus(state, Date.now()).customizations.map((status) => status.lagMs));
      showTo({ phase, lagSeconds: Math.round(lagMs / 1_000) });
    }
    const held = heldReason(state);
    if (held !== shownHeld) {
      shownHeld = held;
      showTo({ heldReason: held });
    }
    const mayLeave = (): boolean => full && inFlight === 0 && allHandlersFinished();
    if (mayLeave()) return await continueAsNew<typeof tenantWorkflow>({ tenantId, carried: { state, queue } });
    await condition(() => queue.length > 0 || alarm.rang() || mayLeave() || failed !== null);
    if (failed !== null) throw failed;
    alarm.silence();
  }
}

/**
 * One timer for everything. It is only replaced by an earlier one: a later wish is found out when it rings, so that a tenant
 * whose due time moves with every change does not fill its history with cancelled timers.
 */
function wakeUpCall(): { readonly setFor: (atMs: number | null) => void; readonly rang: () => boolean; readonly silence: () => void } {
  let armed: { readonly atMs: number; readonly scope: CancellationScope } | null = null;
  let ringing = false;
  const ring = (which: typeof armed): void => {
    if (armed === which) armed = null;
    ringing = true;
  };
  return {
    setFor(atMs) {
      if (atMs === null || (armed && armed.atMs <= atMs)) return;
      armed?.scope.cancel();
      const scope = new CancellationScope();
      const mine = { atMs, scope };
      armed = mine;
      void scope
        .run(() => sleep(Math.max(1, atMs - Date.now()), { summary: `next look at ${clockTime(atMs)}` }))
        .then(() => ring(mine))
        // Replaced by an earlier one.
        .catch(() => undefined);
    },
    rang: () => ringing,
    silence() {
      ringing = false;
    },
  };
}
