import { Counter, Gauge, type Registry } from 'prom-client';

/** What the watch measures; names are part of docs. */
export function healingMetrics(registry: Registry) {
  const registers = [registry];
  return {
    condition: new Gauge({
      name: 'mw_sensing_condition',
      help: 'Something is wrong between the binary log and the change consumer: 1 while it is open',
      labelNames: ['code', 'subject'] as const,
      registers,
    }),
    healed: new Counter({
      name: 'mw_sensing_healed_total',
      help: 'Conditions that ended, by what they were',
      labelNames: ['code'] as const,
      registers,
    }),
    restarts: new Counter({
      name: 'mw_sensing_connector_restarts_total',
      help: 'Restarts of failed or stalled connectors',
      labelNames: ['connector'] as const,
      registers,
    }),
  };
}
export type HealingMetrics = ReturnType<typeof healingMetrics>;
