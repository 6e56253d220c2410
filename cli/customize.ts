import { createApiClient } from './api-client.ts';
import type { Predictions, Receipt } from './api-types.ts';
import { CommandError, type RegisterCommand, printJson } from './command.ts';
import { apiUrl, operatorClient, storeKey, tenantClient } from './credentials.ts';
import { followReceipt, stationLine } from './follow-receipt.ts';
import { Screen } from './screen.ts';
import { filterOf, tableName } from './source.ts';
import { printReport, submitFile } from './submit-file.ts';
import { answerText, scoreText, table } from './wording.ts';

type Json = { json?: boolean };
const jsonFlag = ['--json', 'print one JSON document'] as const;
const screen = new Screen(process.stdout.isTTY);

/** `name=value` pairs; values are JSON where they look like it. */
export function pairs(items: readonly string[] | undefined): Record<string, unknown> {
  return Object.fromEntries(
    (items ?? []).map((item) => {
      const at = item.indexOf('=');
      if (at < 1) throw new CommandError(`"${item}" is not NAME=VALUE`);
      const value = item.slice(at + 1);
      try {
        return [item.slice(0, at), JSON.parse(value) as unknown];
      } catch {
        return [item.slice(0, at), value];
      }
    }),
  );
}

export const registerTenant: RegisterCommand = (program) => {
  program
    .command('tenant')
    .description('make a tenant, or a new key for one; the CLI speaks for it from then on (operator)')
    .argument('<id>')
    .option('--name <name>')
    .option('--placement <name>', 'where what it stores lies, of MW_PLACEMENTS, or `default`; before its first training')
    .option(...jsonFlag)
    .action(async (id: string, options: Json & { name?: string; placement?: string }) => {
      const operator = operatorClient();
      const known = await operator.call<{ id: string } | null>('GET', `/v1/tenants/${id}`).catch(() => null);
      const placed = options.placement === undefined ? {} : { placement: options.placement === 'default' ? null : options.placement };
      if (known && options.placement !== undefined) await operator.call('PATCH', `/v1/tenants/${id}`, placed);
      const made = known
        ? await operator.call<{ key: string }>('POST', `/v1/tenants/${id}/keys`, {})
        : await operator.call<{ key: string }>('POST', '/v1/tenants', { id, name: options.name ?? id, ...placed });
      await storeKey({ tenant: id, key: made.key });
      if (options.json) printJson({ id, key: made.key });
      else console.log(`tenant ${id}\nkey    ${made.key}  (shown once; the CLI keeps it for itself)`);
    });
};

type CreateOptions = Json & {
  readonly model: string;
  readonly option?: string[];
  readonly policy?: string[];
  readonly source?: string;
  readonly column?: string[];
  readonly filter?: string;
};

/** Columns keep their names as text; the id's column is `id` where none is named. */
function sourceOf({ source, column = [], filter }: CreateOptions): object {
  if (source === undefined) {
    if (column.length > 0 || filter !== undefined) throw new CommandError('--column and --filter belong to --source DATABASE.TABLE');
    return {};
  }
  const columns = column.map((item) => {
    const at = item.indexOf('=');
    if (at < 1) throw new CommandError(`"${item}" is not FIELD=COLUMN`);
    return [item.slice(0, at), item.slice(at + 1)];
  });
  return { source: { ...tableName(source), columns: { id: 'id', ...Object.fromEntries(columns) }, ...filterOf(filter) } };
}

export const registerCreate: RegisterCommand = (program) => {
  program
    .command('create')
    .description('make a customization: a business model with options and a policy')
    .argument('<name>')
    .option('--model <businessModel>', 'business model', 'text-classification')
    .option('--option <name=value...>', 'option of the business model')
    .option('--policy <name=value...>', 'knob of the policy, such as quietPeriodMs=3000')
    .option('--source <database.table>', 'a table that was granted: its rows are the examples')
    .option('--column <field=column...>', 'column of the table for a field of the example: id, text, label, ...')
    .option('--filter <column=value>', 'only rows whose column has this value')
    .option(...jsonFlag)
    .action(async (name: string, options: CreateOptions) => {
      const made = await tenantClient().call<{ id: string }>('POST', '/v1/customizations', {
        id: name,
        name,
        businessModel: options.model,
        options: pairs(options.option),
        policy: pairs(options.policy),
        ...sourceOf(options),
      });
      if (options.json) printJson(made);
      else if (options.source !== undefined)
        console.log(`customization ${made.id}: learns from ${options.source}, see \`./mw runs ${made.id}\``);
      else console.log(`customization ${made.id}: give it examples with \`./mw submit ${made.id} FILE\``);
    });
};

export const registerSubmit: RegisterCommand = (program) => {
  program
    .command('submit')
    .description('send examples from a .jsonl or .csv file')
    .argument('<customization>')
    .argument('<file>')
    .option('--dry-run', 'check the file and store nothing')
    .option('--watch', 'follow the commit until a version has learned it')
    .option(...jsonFlag)
    .action(async (customization: string, file: string, options: Json & { dryRun?: boolean; watch?: boolean }) => {
      const api = tenantClient();
      const report = await submitFile(api, customization, file, options.json ? new Screen(false) : screen, options.dryRun);
      if (options.json) printJson(report);
      else printReport(screen, report);
      const last = report.commits.at(-1);
      if (options.watch && last) await followReceipt(api, last, screen, new AbortController().signal);
      if (report.rejected > 0) process.exitCode = 1;
    });
};

export const registerReceipt: RegisterCommand = (program) => {
  program
    .command('receipt')
    .description('what became of a commit; with --watch status 0 when a version serves it, 1 with the reason why none will')
    .argument('<gtid>')
    .option('--watch', 'follow it until a version has learned it')
    .option(...jsonFlag)
    .action(async (gtid: string, options: Json & { watch?: boolean }) => {
      const api = tenantClient();
      if (options.watch) {
        const quiet = options.json ? new Screen(false, () => undefined) : screen;
        const { receipt: end } = await followReceipt(api, gtid, quiet, new AbortController().signal);
        if (options.json) printJson(end);
        else if (end.reason) screen.line(`  ${end.reason}`);
        if (!end.stations.at(-1)?.at) process.exitCode = 1;
        return;
      }
      const receipt = await api.call<Receipt>('GET', `/v1/receipts/${gtid}`);
      if (options.json) return printJson(receipt);
      for (const station of receipt.stations)
        if (station.at !== null || station.detail !== null) console.log(stationLine(station, receipt.committedAt));
      if (receipt.reason) console.log(`  ${receipt.reason}`);
    });
};

export const registerPredict: RegisterCommand = (program) => {
  program
    .command('predict')
    .description('ask the version in production')
    .argument('<customization>')
    .argument('<text...>')
    .option('--version <n>', 'another version')
    .option(...jsonFlag)
    .action(async (customization: string, texts: string[], options: Json & { version?: string }) => {
      const answer = await tenantClient().call<Predictions>('POST', `/v1/customizations/${customization}:predict`, {
        inputs: texts,
        ...(options.version === undefined ? {} : { version: Number(options.version.replace(/^v/, '')) }),
      });
      if (options.json) return printJson(answer);
      console.log(
        table(
          ['answer', 'score', `answered by v${answer.version}`],
          answer.outputs.map((output, i) => [answerText(output), scoreText(output), (texts[i] ?? '').slice(0, 60)]),
        ),
      );
    });
};

export const registerRetrain: RegisterCommand = (program) => {
  program
    .command('retrain')
    .description('ask for a training run now')
    .argument('<customization>')
    .option('--reason <text>')
    .option('--force', 'also if nothing has changed')
    .action(async (customization: string, options: { reason?: string; force?: boolean }) => {
      await tenantClient().call('POST', `/v1/customizations/${customization}:retrain`, options);
      console.log(`asked: see \`./mw runs ${customization}\``);
    });
};

export const registerPromote: RegisterCommand = (program) => {
  const say = (after: { production: number | null; previous: number | null }): void =>
    console.log(`production v${after.production ?? '-'}, previous ${after.previous === null ? '-' : `v${after.previous}`}`);
  program
    .command('promote')
    .description('let a version serve')
    .argument('<customization>')
    .argument('<version>')
    .option('--force', 'although the gate said no: it goes on record')
    .option('--reason <text>')
    .action(async (customization: string, version: string, options: { force?: boolean; reason?: string }) =>
      say(await tenantClient().call('POST', `/v1/customizations/${customization}/models/${version.replace(/^v/, '')}:promote`, options)),
    );
  program
    .command('rollback')
    .description('let the previous version serve again')
    .argument('<customization>')
    .option('--reason <text>')
    .action(async (customization: string, options: { reason?: string }) =>
      say(await tenantClient().call('POST', `/v1/customizations/${customization}:rollback`, options)),
    );
};

/** For the demo: a client of a tenant that is made or met. */
export async function tenantOf(id: string, name: string): Promise<ReturnType<typeof createApiClient>> {
  const operator = operatorClient();
  const known = await operator.call<{ id: string }>('GET', `/v1/tenants/${id}`).catch(() => null);
  const { key } = known
    ? await operator.call<{ key: string }>('POST', `/v1/tenants/${id}/keys`, {})
    : await operator.call<{ key: string }>('POST', '/v1/tenants', { id, name });
  await storeKey({ tenant: id, key });
  return createApiClient(apiUrl(), key);
}
