import { upsertSearchAttributes } from '@temporalio/workflow';
import type { FailureClass } from '../core/failure-types.ts';
import type { RunState, RunTrigger } from '../core/run.ts';
import type { CustomizationPhase } from '../core/tenant-messages.ts';

const key = {
  tenant: { name: 'MwTenant', type: 'KEYWORD' },
  customization: { name: 'MwCustomization', type: 'KEYWORD' },
  businessModel: { name: 'MwBusinessModel', type: 'KEYWORD' },
  phase: { name: 'MwPhase', type: 'KEYWORD' },
  trigger: { name: 'MwTrigger', type: 'KEYWORD' },
  failureClass: { name: 'MwFailureClass', type: 'KEYWORD' },
  modelVersion: { name: 'MwModelVersion', type: 'KEYWORD' },
  lagSeconds: { name: 'MwLagSeconds', type: 'DOUBLE' },
  schema: { name: 'MwSchema', type: 'KEYWORD' },
  heldReason: { name: 'MwHeldReason', type: 'TEXT' },
} as const;

/** What a text attribute of every visibility store takes. */
const maxReasonChars = 500;

/** What operators filter by in the Temporal Web UI; absent fields are left as they are. */
export type Visible = {
  readonly tenantId?: string;
  readonly customizationId?: string;
  readonly businessModel?: string;
  readonly phase?: CustomizationPhase | RunState;
  readonly trigger?: RunTrigger;
  readonly failureClass?: FailureClass;
  readonly modelVersion?: string;
  readonly lagSeconds?: number;
  /** Why training is held for a change of structure; null: it is not held any more. */
  readonly heldReason?: string | null;
};

/** One history event a call: call it when something changed, not in every turn. */
export function showTo(visible: Visible): void {
  upsertSearchAttributes([
    ...(visible.tenantId === undefined ? [] : [{ key: key.tenant, value: visible.tenantId }]),
    ...(visible.customizationId === undefined ? [] : [{ key: key.customization, value: visible.customizationId }]),
    ...(visible.businessModel === undefined ? [] : [{ key: key.businessModel, value: visible.businessModel }]),
    ...(visible.phase === undefined ? [] : [{ key: key.phase, value: visible.phase }]),
    ...(visible.trigger === undefined ? [] : [{ key: key.trigger, value: visible.trigger }]),
    ...(visible.failureClass === undefined ? [] : [{ key: key.failureClass, value: visible.failureClass }]),
    ...(visible.modelVersion === undefined ? [] : [{ key: key.modelVersion, value: visible.modelVersion }]),
    ...(visible.heldReason === undefined
      ? []
      : [
          { key: key.schema, value: visible.heldReason === null ? null : 'held' },
          { key: key.heldReason, value: visible.heldReason?.slice(0, maxReasonChars) ?? null },
        ]),
    ...(visible.lagSeconds === undefined ? [] : [{ key: key.lagSeconds, value: visible.lagSeconds }]),
  ]);
}
