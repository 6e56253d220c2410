import type { BusinessModel } from '../catalog/catalog.ts';

/** Whether there is enough to train on, and what is missing. */
export function readinessOf(
  labels: readonly { readonly label: string; readonly examples: number }[],
  examples: number,
  minimumData: BusinessModel['minimumData'],
) {
  const counted = labels.map((one) => ({ ...one, minimum: minimumData.examplesPerLabel }));
  const enough = counted.filter((one) => one.examples >= one.minimum).length;
  const reasons =
    enough >= minimumData.labels
      ? examples < minimumData.rows
        ? [`at least ${minimumData.rows} examples are needed, ${examples} so far`]
        : []
      : [`at least ${minimumData.labels} labels with ${minimumData.examplesPerLabel} examples each are needed, ${enough} so far`];
  return { ready: reasons.length === 0, reasons, examples, labels: counted };
}
