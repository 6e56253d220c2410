import type { BusinessModel } from '../catalog/catalog.ts';
import { type LabelRows, missingData } from '../catalog/minimum-data.ts';

/** Whether there is enough to train on, and what is missing. */
export function readinessOf(labels: readonly LabelRows[], examples: number, minimumData: BusinessModel['minimumData']) {
  const reasons = missingData(labels, examples, minimumData);
  const counted = labels.map((one) => ({ ...one, minimum: minimumData.examplesPerLabel }));
  return { ready: reasons.length === 0, reasons, examples, labels: counted };
}
