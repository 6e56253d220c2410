import { Gauge, type Registry } from 'prom-client';
import type { Mapping } from './mappings.ts';

/** Mapped customizations by the state of their capture: anything but `capturing` for long is a reason to look. */
export function sourceMetrics(registry: Registry): (mappings: readonly Mapping[]) => void {
  const gauge = new Gauge({
    name: 'mw_mapped_customizations',
    help: 'Customizations that map a table, by the state of its capture',
    labelNames: ['state'] as const,
    registers: [registry],
  });
  return (mappings) => {
    gauge.reset();
    for (const { state } of mappings) gauge.inc({ state: state ?? 'starting' });
  };
}
