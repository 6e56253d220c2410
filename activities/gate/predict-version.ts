import type { Answer } from '../../catalog/contract.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import type { GateLatency } from '../../core/model.ts';
import type { ObjectRef } from '../../core/object-ref.ts';

/** Answers of a published version: the very code path that serves. */
export type PredictVersion = (key: CustomizationKey, version: number, inputs: readonly Answer[]) => Promise<readonly Answer[]>;

/** How long a staged encoder takes, and that of a version (null: none serves yet), where answers are given; null where it cannot be told now. */
export type TimeEncoder = (key: CustomizationKey, version: number | null, graph: ObjectRef) => Promise<GateLatency | null>;
