import { randomUUID } from 'node:crypto';
import type { Amount, GcReport, ScrubReport, StorageUse } from '../core/store-care.ts';
import { storedKinds } from '../core/store-care.ts';
import { nowMs } from '../platform/clock.ts';
import type { Page } from './api-types.ts';
import { CommandError, type RegisterCommand, printJson } from './command.ts';
import { operatorClient } from './credentials.ts';
import { bytes, count, table } from './wording.ts';

type Json = { readonly json?: boolean };
type UseItem = StorageUse & {
  readonly tenantId: string;
  readonly placement: string | null;
  readonly countedBytes: number;
  readonly quotaBytes: number | null;
};
type Pending = { readonly pending: true; readonly detail: string };

const jsonFlag = ['--json', 'print one JSON document'] as const;
/** A round over a large store takes hours; the answer is asked for again until then. */
const patienceMs = 6 * 3_600_000;

const amount = ({ objects, bytes: size }: Amount): string => `${bytes(size)} in ${count(objects)}`;

/** Asks for a round and waits until it has ended, however long that takes. */
async function round<R>(path: string, body: unknown): Promise<R> {
  const api = operatorClient();
  const headers = { 'idempotency-key': randomUUID() };
  const deadline = nowMs() + patienceMs;
  for (;;) {
    const answer = await api.call<R | Pending>('POST', path, body, headers);
    if (!(typeof answer === 'object' && answer !== null && 'pending' in answer)) return answer;
    if (nowMs() > deadline) throw new CommandError(answer.detail);
  }
}

async function usage(): Promise<{ readonly items: readonly UseItem[]; readonly base: Amount | null }> {
  const api = operatorClient();
  const items: UseItem[] = [];
  let base: Amount | null = null;
  for (let cursor = ''; ;) {
    const answer = await api.call<Page<UseItem> & { readonly base: Amount | null }>('GET', `/v1/store/usage?limit=200${cursor}`);
    items.push(...answer.items);
    base ??= answer.base;
    if (answer.nextCursor === null) return { items, base };
    cursor = `&cursor=${answer.nextCursor}`;
  }
}

export function usageLines(items: readonly UseItem[], base: Amount | null): string[] {
  const rows = items.map(({ tenantId, placement, datasets, models, staging, countedBytes, quotaBytes }) => [
    tenantId,
    placement ?? '-',
    amount(datasets),
    amount(models),
    amount(staging),
    quotaBytes === null ? '-' : `${bytes(countedBytes)} of ${bytes(quotaBytes)}`,
  ]);
  return [
    table(['tenant', 'placement', 'datasets', 'models', 'staging', 'quota'], rows),
    ...(base ? [`shared by all: ${amount(base)} objects`] : []),
  ];
}

export function gcLines(report: GcReport): string[] {
  const { dryRun, removed, kept, locked, unknown, versions, datasets, tenants, moreTenants, deferred, failed } = report;
  return [
    table(
      [dryRun ? 'would be removed' : 'removed', 'objects', 'bytes'],
      [
        ...storedKinds.map((kind) => [kind, count(removed[kind].objects), bytes(removed[kind].bytes)]),
        ['kept', count(kept.objects), bytes(kept.bytes)],
      ],
    ),
    `${count(versions)} versions and ${count(datasets)} datasets ${dryRun ? 'would go' : 'went'} from the registry`,
    ...(tenants.length === 0
      ? []
      : [
          table(
            ['tenant', 'objects', 'bytes', 'versions'],
            tenants.map(({ tenantId, objects, bytes: size, versions: gone }) => [tenantId, count(objects), bytes(size), count(gone)]),
          ),
        ]),
    ...(moreTenants > 0 ? [`and ${count(moreTenants)} more tenants`] : []),
    ...(locked && locked.objects > 0
      ? [
          `under object lock, and left: ${amount(locked)} objects, ${locked.until === null ? 'with a legal hold' : `the last until ${locked.until}`}`,
        ]
      : []),
    ...(unknown.objects > 0 ? [`not ours, and left alone: ${amount(unknown)} objects`] : []),
    ...deferred.map((what) => `left for the next round: ${what}`),
    ...failed.map((what) => `FAILED: ${what}`),
  ];
}

export function scrubLines({ objects, bytes: size, damaged, missing, repaired, open, failed }: ScrubReport): string[] {
  const found = damaged + missing;
  return [
    `read ${amount({ objects, bytes: size })} objects: ${found === 0 ? 'all are whole' : `${count(damaged)} damaged, ${count(missing)} missing, ${count(repaired)} of them repaired`}`,
    ...open.map((what) => `NOT REPAIRED: ${what}`),
    ...failed.map((what) => `FAILED: ${what}`),
  ];
}

export const registerStore: RegisterCommand = (program) => {
  const store = program.command('store').description('what lies in the object store: who has how much, garbage, damage (operator)');
  store
    .command('usage')
    .description('bytes of every tenant by kind, and its quota')
    .option(...jsonFlag)
    .action(async (options: Json) => {
      const { items, base } = await usage();
      if (options.json) printJson({ items, base });
      else for (const line of usageLines(items, base)) console.log(line);
    });
  store
    .command('gc')
    .description('remove what nothing refers to, now; otherwise every six hours')
    .option('--dry-run', 'only count it')
    .option(...jsonFlag)
    .action(async (options: Json & { readonly dryRun?: boolean }) => {
      const report = await round<GcReport>('/v1/store/gc', { dryRun: options.dryRun === true });
      if (options.json) printJson(report);
      else for (const line of gcLines(report)) console.log(line);
      if (report.failed.length > 0) process.exitCode = 1;
    });
  store
    .command('scrub')
    .description('read everything that is stored, compare its digests and mend what can be mended; status 1 if something is left')
    .option(...jsonFlag)
    .action(async (options: Json) => {
      const report = await round<ScrubReport>('/v1/store/scrub', undefined);
      if (options.json) printJson(report);
      else for (const line of scrubLines(report)) console.log(line);
      if (report.open.length > 0 || report.failed.length > 0) process.exitCode = 1;
    });
  const held = (text: string): { readonly path: string; readonly name: string } => {
    const [, tenant, customization, version] = /^([a-z0-9-]+)\/([a-z0-9-]+)@v?([1-9][0-9]*)$/.exec(text) ?? [];
    if (tenant === undefined) throw new CommandError(`"${text}" is not TENANT/CUSTOMIZATION@VERSION, such as acme/news@v3`);
    return { path: `/v1/tenants/${tenant}/customizations/${customization}/models/${version}/hold`, name: text };
  };
  store
    .command('hold')
    .description('keep a version, whatever the retention says')
    .argument('<tenant/customization@version>')
    .option('--reason <text>')
    .action(async (text: string, { reason }: { readonly reason?: string }) => {
      const { path, name } = held(text);
      await operatorClient().call('PUT', path, reason === undefined ? {} : { reason });
      console.log(`${name} is kept until \`./mw store release ${name}\``);
    });
  store
    .command('release')
    .description('let the retention decide about a version again')
    .argument('<tenant/customization@version>')
    .action(async (text: string) => {
      const { path, name } = held(text);
      await operatorClient().call('DELETE', path);
      console.log(`${name} is not held any more`);
    });
};
