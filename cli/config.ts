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
