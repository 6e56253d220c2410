import type { VerificationResult } from '../core/verification.ts';
import { nowMs } from '../platform/clock.ts';
import type { ApiClient } from './api-client.ts';
import { CommandError, type RegisterCommand, printJson } from './command.ts';
import { tenantClient } from './credentials.ts';
import { count } from './wording.ts';

type Answer = VerificationResult | { readonly pending: true; readonly detail: string };

/** A comparison of a very large table takes minutes; the answer is asked for again until then. */
const patienceMs = 1_800_000;
const namedAtMost = 10;

async function verified(api: ApiClient, customization: string): Promise<VerificationResult> {
  const deadline = nowMs() + patienceMs;
  for (;;) {
    const answer = await api.call<Answer>('POST', `/v1/customizations/${customization}:verify`);
    if (!('pending' in answer)) return answer;
    if (nowMs() > deadline) throw new CommandError(answer.detail);
  }
}

function named(what: string, n: number, ids: readonly string[]): string[] {
  if (n === 0) return [];
  const more = n > namedAtMost ? ', ...' : '';
  return [`  ${what.padEnd(24)} ${count(n)}: ${ids.slice(0, namedAtMost).join(', ')}${more}`];
}

/** A comparison as lines for people. */
export function verificationLines(result: VerificationResult): string[] {
  const { ok, verdict, table, dataset, counts, missing, extra, changed, damaged, explanation, I1, I2, healing } = result;
  const number = dataset.number === null ? 'none yet' : `dataset ${dataset.number}`;
  return [
    `${ok ? 'ok' : 'NOT OK'} (${verdict.replaceAll('_', ' ')}): ${explanation ?? ''}`,
    `  table                    ${count(table.rows)} rows, ${table.digest.slice(0, 16)}`,
    `  ${number.padEnd(24)} ${count(dataset.rows)} rows, ${dataset.digest.slice(0, 16)}`,
    ...(table.excluded > 0 ? [`  not usable               ${count(table.excluded)} rows of the table`] : []),
    ...named('missing in the dataset', counts.missing, missing),
    ...named('only in the dataset', counts.extra, extra),
    ...named('different', counts.changed, changed),
    ...damaged.map(({ bucket, detail, repaired }) => `  bucket ${bucket} ${repaired ? 'was repaired' : 'IS DAMAGED'}: ${detail}`),
    `  I1 ${I1.holds ? 'holds' : 'DOES NOT HOLD'}: ${I1.detail}`,
    `  I2 ${I2.holds ? 'holds' : 'DOES NOT HOLD'}: ${I2.detail}`,
    ...(healing === null ? [] : [`  ${healing}`]),
  ];
}

export const registerVerify: RegisterCommand = (program) => {
  program
    .command('verify')
    .description('compare the table with the last dataset, row by row; status 1 if something is wrong')
    .argument('<customization>')
    .option('--json', 'print one JSON document')
    .action(async (customization: string, options: { json?: boolean }) => {
      const result = await verified(tenantClient(), customization);
      if (options.json) printJson(result);
      else for (const line of verificationLines(result)) console.log(line);
      if (!result.ok) process.exitCode = 1;
    });
};
