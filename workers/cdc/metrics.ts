import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** What the change consumer measures; names are part of docs. */
export function sensingMetrics(registry: Registry) {
  const registers = [registry];
  return {
    events: new Counter({
      name: 'mw_sensing_events_total',
      help: 'Change events read, by what they are',
      labelNames: ['kind'] as const,
      registers,
    }),
    signals: new Counter({ name: 'mw_sensing_signals_total', help: 'Digests that a tenant workflow accepted', registers }),
    retries: new Counter({
      name: 'mw_sensing_retries_total',
      help: 'Effects that were put off because an engine was away',
      labelNames: ['engine'] as const,
      registers,
    }),
    deadLetters: new Counter({
      name: 'mw_sensing_dead_letters_total',
      help: 'Events that nobody can read, parked with a reason',
      registers,
    }),
    waitingTenants: new Gauge({ name: 'mw_sensing_waiting_tenants', help: 'Tenants whose digest is not signalled yet', registers }),
    backpressure: new Counter({
      name: 'mw_sensing_backpressure_total',
      help: 'Batches that waited because too much was unsignalled',
      registers,
    }),
    lag: new Histogram({
      name: 'mw_commit_to_sensed_seconds',
      help: 'From a commit to the signal that carries it',
      buckets: [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1_800],
      registers,
    }),
  };
}
export type SensingMetrics = ReturnType<typeof sensingMetrics>;
