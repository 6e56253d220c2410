import { Counter, type Registry } from 'prom-client';
import type { VerificationResult } from '../core/verification.ts';

/** What comparisons of tables with datasets came to; names are part of docs and alert rules. */
export function verificationMetrics(registry: Registry): { readonly verified: (result: VerificationResult) => void } {
  const registers = [registry];
  const verdicts = ['equal', 'on_its_way', 'stalled', 'violated'] as const;
  const verifications = new Counter({
    name: 'mw_verifications_total',
    help: 'Comparisons of a table with its last dataset, by verdict',
    labelNames: ['verdict'] as const,
    registers,
  });
  const violations = new Counter({
    name: 'mw_invariant_violations_total',
    help: 'Comparisons that found an invariant broken',
    labelNames: ['invariant'] as const,
    registers,
  });
  // An alert needs the zero before the one.
  for (const verdict of verdicts) verifications.inc({ verdict }, 0);
  for (const invariant of ['I1', 'I2'] as const) violations.inc({ invariant }, 0);
  return {
    verified({ verdict, I1, I2 }) {
      verifications.inc({ verdict });
      if (verdict === 'stalled') return;
      if (!I1.holds) violations.inc({ invariant: 'I1' });
      if (!I2.holds) violations.inc({ invariant: 'I2' });
    },
  };
}
