import type { SchemaDecided } from '../core/schema-change.ts';
import { CommandError, type RegisterCommand, printJson } from './command.ts';
import { tenantClient } from './credentials.ts';
import { table } from './wording.ts';

type Change = {
  readonly changeId: string;
  readonly kind: string;
  readonly effect: string;
  readonly reason: string;
  readonly schemaVersion: number;
  readonly happenedAt: string;
  readonly decision: string | null;
  readonly decidedBy: string | null;
};
type Schema = {
  readonly table: string;
  readonly policy: string;
  readonly current: {
    readonly version: number;
    readonly columns: readonly { readonly name: string; readonly type: string }[] | null;
  } | null;
  readonly held: readonly Change[];
  readonly history: readonly Change[];
};
type Answer = { remap?: string[]; table?: string; ignore?: boolean; change?: string; reason?: string; json?: boolean };

/** `text=body` pairs; a column's name is never JSON. */
const mapping = (pairs: readonly string[]): Record<string, string> =>
  Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1 || at === pair.length - 1) throw new CommandError(`"${pair}" is not FIELD=COLUMN`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );

function print(customization: string, { table: name, policy, current, held, history }: Schema): void {
  console.log(`${name}, structure version ${current?.version ?? '-'}, policy ${policy}`);
  if (current?.columns)
    console.log(
      table(
        ['column', 'type'],
        current.columns.map((column) => [column.name, column.type]),
      ),
    );
  for (const { reason } of held) console.log(`HELD  ${reason}`);
  if (held.length > 0) console.log(`answer with \`./mw schema approve ${customization}\`, \`--remap FIELD=COLUMN\` or \`--ignore\``);
  if (history.length > 0)
    console.log(
      table(
        ['when', 'version', 'effect', 'decision', 'what'],
        history.map((change) => [
          change.happenedAt.slice(0, 19).replace('T', ' '),
          String(change.schemaVersion),
          change.effect,
          change.decision ? `${change.decision} (${change.decidedBy ?? '-'})` : '-',
          change.reason,
        ]),
      ),
    );
}

export const registerSchema: RegisterCommand = (program) => {
  const schema = program.command('schema').description('structure of the table that a customization reads, and what is held');
  schema
    .command('show', { isDefault: true })
    .description('structure, held changes and history')
    .argument('<customization>')
    .option('--json', 'print one JSON document')
    .action(async (customization: string, options: { json?: boolean }) => {
      const found = await tenantClient().call<Schema>('GET', `/v1/customizations/${customization}/schema`);
      if (options.json) printJson(found);
      else print(customization, found);
    });
  schema
    .command('approve')
    .description('let training go on over a held change')
    .argument('<customization>')
    .option('--remap <field=column...>', 'read other columns')
    .option('--table <table>', 'read another table that the operator has granted')
    .option('--ignore', 'go on without reading everything again')
    .option('--change <id>', 'only this change')
    .option('--reason <text>')
    .option('--json', 'print one JSON document')
    .action(async (customization: string, options: Answer) => {
      const remap = options.remap !== undefined || options.table !== undefined;
      if (remap && options.ignore) throw new CommandError('--ignore goes with neither --remap nor --table');
      const decided = await tenantClient().call<SchemaDecided>('POST', `/v1/customizations/${customization}:approveSchema`, {
        action: remap ? 'remap' : options.ignore ? 'ignore' : 'approve',
        ...(options.remap === undefined ? {} : { columns: mapping(options.remap) }),
        ...(options.table === undefined ? {} : { table: options.table }),
        ...(options.change === undefined ? {} : { changeId: options.change }),
        ...(options.reason === undefined ? {} : { reason: options.reason }),
      });
      if (options.json) printJson(decided);
      else console.log(`answered ${decided.changeIds.length}: training goes on${decided.rebuild ? ', everything is read again' : ''}`);
    });
};
