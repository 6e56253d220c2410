import type { TenantPending } from '../../core/tenant-messages.ts';
import type { VerificationResult } from '../../core/verification.ts';
import type { Comparison } from './compare-table.ts';
import { Differences } from './differences.ts';

/** What is known besides table and dataset. `known` null: the log was not sensed as far as the table was read. */
export type Circumstances = {
  readonly known: { readonly pending: TenantPending | null; readonly waitedMs: number } | null;
  /** Reason of a change of structure that waits for a person. */
  readonly schemaHeld: string | null;
};

export type Judgement = Pick<VerificationResult, 'ok' | 'verdict' | 'explanation' | 'I1' | 'I2'> & { readonly unexplained: Differences };

const counted = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;

function named(differences: Differences): string {
  const parts = [
    [differences.count('missing'), 'missing in the dataset'],
    [differences.count('extra'), 'only in the dataset'],
    [differences.count('changed'), 'different'],
  ] as const;
  return parts
    .filter(([n]) => n > 0)
    .map(([n, what]) => `${counted(n, 'row')} ${what}`)
    .join(', ');
}

/** Whether what differs is known to be on its way, and what that says about I1 and I2. Pure. */
export function judge(customizationId: string, comparison: Comparison, { known, schemaHeld }: Circumstances): Judgement {
  const { differences, damaged, misplaced, otherModel, dataset, table } = comparison;
  const base = dataset.number === null ? 'there is no dataset yet' : `dataset ${dataset.number}`;
  const wrecked = damaged.filter(({ repaired }) => !repaired);
  const twice = `${counted(misplaced.length, 'row')} of ${base} occur twice or in a bucket that is not theirs`;
  const phantoms = misplaced.length > 0;
  const none = new Differences();

  const verdict = (
    kind: VerificationResult['verdict'],
    explanation: string | null,
    unexplained: Differences,
    loss: string | null,
  ): Judgement => {
    const lost = unexplained.count('missing') + unexplained.count('changed') > 0 || wrecked.length > 0;
    const extra = unexplained.count('extra') > 0 || phantoms;
    const broken = lost || extra;
    return {
      ok: !broken && kind !== 'stalled',
      verdict: broken ? 'violated' : kind,
      explanation:
        broken && wrecked.length > 0 ? `${counted(wrecked.length, 'stored bucket')} damaged: ${wrecked[0]?.detail}` : explanation,
      unexplained,
      I1: lost
        ? { holds: false, detail: wrecked.length > 0 ? `${base} cannot be read as it was written` : `a committed change was lost: ${loss}` }
        : { holds: kind !== 'stalled', detail: kind === 'stalled' ? 'not known: not sensed yet' : (loss ?? 'no committed change is lost') },
      I2: extra
        ? { holds: false, detail: phantoms ? twice : `rows that the table does not have, or a deletion was lost: ${loss}` }
        : { holds: kind !== 'stalled', detail: kind === 'stalled' ? 'not known: not sensed yet' : 'no phantom and no duplicate row' },
    };
  };

  if (differences.none) {
    const equal = dataset.number === null ? 'there are no usable rows and no dataset' : `the table equals ${base}, ${table.rows} rows`;
    return verdict('equal', equal, none, null);
  }
  const what = named(differences);
  if (!known?.pending) {
    const seconds = Math.round((known?.waitedMs ?? 0) / 1_000);
    return verdict(
      'stalled',
      `${what}, and not sensed yet: the tenant's workflow has not counted the log as far as the table was read within ${seconds} s. See \`mw status\` for the connector and the change consumer`,
      none,
      null,
    );
  }
  const entry = known.pending.customizations[customizationId];
  const unexplained = entry ? differences.outside(entry.buckets) : differences;
  if (unexplained.none)
    return verdict('on_its_way', `${what}: ${entry?.phase ?? ''}: ${entry?.why ?? ''}`, none, `${what}, all of it known`);
  if (schemaHeld !== null) return verdict('on_its_way', `${what}: held: ${schemaHeld}`, none, `${what}, held by a change of structure`);
  if (otherModel !== null)
    return verdict('on_its_way', `${what}: ${otherModel}; the next run builds it anew`, none, `${what}: ${otherModel}`);
  return verdict('violated', `${named(unexplained)}: no change that was sensed explains it`, unexplained, named(unexplained));
}
