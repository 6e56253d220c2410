import { type RegisterCommand, CommandError, printJson } from './command.ts';
import { operatorClient, tenantClient } from './credentials.ts';
import { table } from './wording.ts';

type Filter = { readonly column: string; readonly equals: string };
type Column = { readonly name: string; readonly type: string; readonly fieldProblem: string | null; readonly idProblem: string | null };
type Source = {
  readonly database: string;
  readonly table: string;
  readonly filter: Filter | null;
  readonly problem: string | null;
  readonly columns: readonly Column[];
};

/** `DB.TABLE`; a name with a dot in it cannot be told apart here. */
export function tableName(text: string): { readonly database: string; readonly table: string } {
  const [database = '', name = '', ...rest] = text.split('.');
  if (database === '' || name === '' || rest.length > 0) throw new CommandError(`"${text}" is not DATABASE.TABLE`);
  return { database, table: name };
}

/** `COLUMN=VALUE`; the value is text, whatever it looks like. */
export function filterOf(text: string | undefined): { readonly filter?: Filter } {
  if (text === undefined) return {};
  const at = text.indexOf('=');
  if (at < 1) throw new CommandError(`"${text}" is not COLUMN=VALUE`);
  return { filter: { column: text.slice(0, at), equals: text.slice(at + 1) } };
}

const filterText = (filter: Filter | null): string => (filter ? `${filter.column} = ${filter.equals}` : 'all rows');

export const registerSource: RegisterCommand = (program) => {
  const source = program.command('source').description('tables of their own that tenants may map');
  source
    .command('grant')
    .description('let a tenant map a table; says everything that stands against it (operator)')
    .argument('<tenant>')
    .argument('<database.table>')
    .option('--filter <column=value>', 'only rows whose column has this value')
    .action(async (tenant: string, name: string, options: { filter?: string }) => {
      await operatorClient().call('POST', `/v1/tenants/${tenant}/sources`, { ...tableName(name), ...filterOf(options.filter) });
      console.log(`${tenant} may map ${name}: \`./mw create NAME --source ${name} --column text=... --column label=...\``);
    });
  source
    .command('revoke')
    .description('take a grant back; refused while a customization maps the table (operator)')
    .argument('<tenant>')
    .argument('<database.table>')
    .action(async (tenant: string, name: string) => {
      const { database, table: of } = tableName(name);
      await operatorClient().call('DELETE', `/v1/tenants/${tenant}/sources/${encodeURIComponent(database)}/${encodeURIComponent(of)}`);
      console.log(`${tenant} may not map ${name} any more`);
    });
  source
    .command('list')
    .description('tables that this tenant may map, with their columns')
    .option('--json', 'print one JSON document')
    .action(async (options: { json?: boolean }) => {
      const { items } = await tenantClient().call<{ items: readonly Source[] }>('GET', '/v1/sources');
      if (options.json) return printJson(items);
      if (items.length === 0)
        console.log('no table was granted to this tenant: the operator does it with `./mw source grant TENANT DB.TABLE`');
      for (const one of items) {
        console.log(`${one.database}.${one.table}: ${one.problem ?? filterText(one.filter)}`);
        const rows = one.columns.map(({ name, type, fieldProblem, idProblem }) => [
          `  ${name}`,
          type,
          idProblem === null ? 'id' : '',
          fieldProblem === null ? 'field' : fieldProblem,
        ]);
        console.log(table(['  column', 'type', '', 'can be'], rows));
      }
    });
};
