import type { LegacyMetrics, MetricUnit, TrainingMetrics } from './model.ts';

/** A figure as people read it: a share in percent, anything else with three digits. */
export const measured = (value: number, unit: MetricUnit): string =>
  unit === 'share' ? `${(value * 100).toFixed(1)} %` : value.toFixed(3);

/** The figure that a model is judged by. Runs from before metrics had names carry accuracy. */
export function primaryOf(metrics: TrainingMetrics | LegacyMetrics): {
  readonly metric: string;
  readonly value: number;
  readonly unit: MetricUnit;
} {
  if (!('values' in metrics)) return { metric: 'accuracy', value: metrics.accuracy, unit: 'share' };
  return { metric: metrics.metric, value: metrics.values[metrics.metric] ?? 0, unit: metrics.unit };
}

/** Such as `accuracy 97.0 %` or `pearson 0.812`. */
export function primaryText(metrics: TrainingMetrics | LegacyMetrics): string {
  const { metric, value, unit } = primaryOf(metrics);
  return `${metric} ${measured(value, unit)}`;
}
