import type { CustomizationKey } from '../../core/ids.ts';

/** Best label of each text by a published version: the very code path that serves. */
export type PredictVersion = (
  key: CustomizationKey,
  version: number,
  texts: readonly string[],
) => Promise<readonly { readonly label: string; readonly score: number }[]>;
