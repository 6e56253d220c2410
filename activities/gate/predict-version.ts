import type { Answer } from '../../catalog/contract.ts';
import type { CustomizationKey } from '../../core/ids.ts';

/** Answers of a published version: the very code path that serves. */
export type PredictVersion = (key: CustomizationKey, version: number, inputs: readonly Answer[]) => Promise<readonly Answer[]>;
