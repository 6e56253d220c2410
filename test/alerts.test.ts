import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { projectDir } from '../platform/paths.ts';
import { predictorMetrics } from '../predictor/metrics.ts';
import { lagMetrics, showLag } from '../workers/lag-meter.ts';
import { sensingMetrics } from '../workers/cdc/metrics.ts';
import { storeMetrics } from '../workers/store-metrics.ts';
import { verificationMetrics } from '../workers/verification-metrics.ts';

type Rule = {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: { readonly summary: string; readonly description: string };
};
const file = parse(readFileSync(join(projectDir, 'infra/telemetry/alerts.yml'), 'utf8')) as { groups: { rules: Rule[] }[] };
const rules = file.groups.flatMap(({ rules }) => rules);

async function knownMetrics(): Promise<Set<string>> {
  const registry = new Registry();
  lagMetrics(registry);
  sensingMetrics(registry);
  verificationMetrics(registry);
  predictorMetrics(registry, () => 0);
  storeMetrics(registry, () => Promise.resolve({ damaged: { shared: 0, tenant: 0 }, owed: {} }));
  const metrics = await registry.getMetricsAsJSON();
  return new Set(
    metrics.flatMap(({ name, type }) => (String(type) === 'histogram' ? [`${name}_bucket`, `${name}_count`, `${name}_sum`] : [name])),
  );
}

describe('the alert rules', () => {
  it('name only metrics that our processes have, each with what it means and what to do', async () => {
    const known = await knownMetrics();
    expect(rules.length).toBeGreaterThan(5);
    const unknown = rules.flatMap(({ alert, expr }) =>
      [...expr.matchAll(/\bmw_[a-z_]+/g)]
        .map(([name]) => name)
        .filter((name) => !known.has(name))
        .map((name) => `${alert}: ${name}`),
    );
    expect(unknown).toEqual([]);
    for (const { annotations } of rules) expect(annotations.summary.length * annotations.description.length).toBeGreaterThan(0);
  });

  it('use the labels that the objectives have', async () => {
    const registry = new Registry();
    const metrics = lagMetrics(registry);
    const state = {
      tenantId: 't',
      customizationId: 'c',
      oldestUnlearnedMs: 90_000,
      oldestUnservedMs: 90_000,
      unlearnedCommits: 3,
      sloMs: 60_000,
      sloState: 'missed',
      burn: { short: 100, long: 20 },
      detail: '',
    } as const;
    showLag(
      metrics,
      [state, { ...state, customizationId: 'd', sloMs: null, sloState: 'none', burn: null, oldestUnlearnedMs: null }],
      5_000,
    );
    const text = await registry.metrics();
    expect(text).toContain('mw_slo_burn_rate{tenant="t",customization="c",window="short"} 100');
    expect(text).toContain('mw_slo_missed{tenant="t",customization="c"} 1');
    expect(text).toContain('mw_oldest_unlearned_commit_seconds{tenant="t"} 90');
    expect(text).not.toContain('customization="d"');
  });

  it('do not get a time series for every tenant: the rest share one', async () => {
    const registry = new Registry();
    const metrics = lagMetrics(registry);
    const states = Array.from({ length: 900 }, (_, i) => ({
      tenantId: `t${i}`,
      customizationId: 'c',
      oldestUnlearnedMs: i * 1_000,
      oldestUnservedMs: null,
      unlearnedCommits: 1,
      sloMs: 1_000,
      sloState: 'met' as const,
      burn: { short: 0, long: 0 },
      detail: '',
    }));
    showLag(metrics, states, 0);
    const text = await registry.metrics();
    expect(text.match(/^mw_oldest_unlearned_commit_seconds\{/gm)).toHaveLength(501);
    expect(text).toContain('mw_oldest_unlearned_commit_seconds{tenant="t899"} 899');
    expect(text).toContain('mw_oldest_unlearned_commit_seconds{tenant="other"} 399');
    expect(text.match(/^mw_slo_burn_rate\{/gm)).toHaveLength(1_000);
  });
});
