import type { BusinessModel } from '../catalog/catalog.ts';

/** Whether the labels are enough to train on, and what is missing. */
export function readinessOf(
  labels: readonly { readonly label: string; readonly examples: number }[],
  minimumData: BusinessModel['minimumData'],
) {
  const counted = labels.map((one) => ({ ...one, minimum: minimumData.examplesPerLabel }));
  const enough = counted.filter(({ examples, minimum }) => examples >= minimum).length;
  const reasons =
    enough >= minimumData.labels
      ? []
      : [`at least ${minimumData.labels} labels with ${minimumData.examplesPerLabel} examples each are needed, ${enough} so far`];
  return { ready: reasons.length === 0, reasons, labels: counted };
}
