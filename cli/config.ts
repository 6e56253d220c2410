import { settingsSchema } from '../platform/config.ts';
import { printJson, type RegisterCommand } from './command.ts';

/** Every setting with its default and what it is. */
export function describeSettings(): { readonly name: string; readonly default: string; readonly description: string }[] {
  const defaults = settingsSchema.parse({});
  return Object.entries(settingsSchema.shape).map(([name, schema]) => ({
    name,
    default: String(defaults[name as keyof typeof defaults] ?? ''),
    description: schema.description ?? '',
  }));
}

/** docs/03-configuration.md. */
export function settingsPage(): string {
  const rows = describeSettings().map(
    ({ name, default: value, description }) => `| \`${name}\` | ${value === '' ? '' : `\`${value}\``} | ${description} |`,
  );
  return [
    '# Settings',
    '',
    'Made from `platform/config.ts` by `node cli/write-docs.ts`. Every setting is an environment variable; an unknown `MW_` variable is an error, so that a',
    'mistyped one is noticed. `./mw config` prints the same list. Folders: `MW_HOME` (state, default `.modelwright`), `MW_CACHE_DIR` (what can be fetched again).',
    'Clients read `MW_URL` and `MW_KEY`. Tests read `MW_DATA_DIR`.',
    '',
    '| setting | default | what |',
    '|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

export const registerConfig: RegisterCommand = (program) => {
  program
    .command('config')
    .description('list every setting, its default and what it is')
    .option('--json', 'print one JSON document')
    .action((options: { json?: boolean }) => {
      const settings = describeSettings();
      if (options.json) printJson(settings);
      else
        for (const { name, default: value, description } of settings) console.log(`${name.padEnd(26)} ${value.padEnd(14)} ${description}`);
    });
};
