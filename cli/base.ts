import type { Command } from 'commander';
import { resolvePaths } from '../platform/paths.ts';
import { BrokenEncoder, checkEncoders } from '../store/encoder-folder.ts';
import { type InstallOptions, checkedBase, installFlags, installFolder, languagesFlag, nameOf, prefixFlag } from './base/install-folder.ts';
import { pushToStore, withdrawFromStore } from './base/push.ts';
import { type RegisterCommand, printJson } from './command.ts';
import { progressScreen } from './pull.ts';
import { bytes, duration, table } from './wording.ts';

export const registerBase: RegisterCommand = (program) => {
  const base = program
    .command('base')
    .description('base models: encoders and causal language models that models start from; list them, add a Hugging Face folder');
  base
    .command('list', { isDefault: true })
    .description('installed base models, each checked file by file')
    .option('--json', 'print one JSON document')
    .action(async (options: { json?: boolean }) => {
      const { modelsDir } = resolvePaths(process.env);
      const items = (await checkEncoders(modelsDir)).map(({ name, found }) => {
        if (found instanceof BrokenEncoder) return { name, problem: found.message };
        const { kind, dim, maxTokens, languages, license = '-', digest } = found;
        return { name, kind, dim, maxTokens, languages, license, digest, problem: null };
      });
      if (options.json) return printJson({ folder: modelsDir, items });
      const rows = items.map((item) =>
        item.problem === null
          ? [
              item.name,
              item.kind,
              String(item.dim),
              String(item.maxTokens),
              shortList(item.languages),
              item.license,
              item.digest.slice(0, 12),
            ]
          : [item.name, '-', '-', '-', '-', '-', item.problem],
      );
      console.log(`${modelsDir}\n${table(['base model', 'kind', 'dim', 'tokens', 'languages', 'licence', 'digest'], rows)}`);
    });
  const withInstallFlags = (command: Command): Command => {
    for (const [flag, what] of installFlags) command.option(flag, what);
    return command.option(prefixFlag[0], prefixFlag[1], '');
  };
  withInstallFlags(
    base
      .command('add')
      .description(
        'add a BERT encoder, or a causal language model of Llama, Mistral or Qwen, in Hugging Face layout (config.json, model.safetensors, tokenizer.json): checks it and exports it for serving',
      )
      .argument('<folder>')
      .requiredOption(...languagesFlag),
  ).action(async (folder: string, options: InstallOptions) => {
    const name = nameOf(folder, options);
    const added = await installFolder(folder, name, options, (line) => console.log(line));
    console.log(
      `${name} is installed (${added.kind}, ${added.dim} dimensions, ${added.maxTokens} tokens): choose it by the option baseModel`,
    );
  });
  withInstallFlags(
    base
      .command('push')
      .description(
        'put a base model into the store, for all tenants and workers: an installed folder, or one in Hugging Face layout, which is added first; after an interruption, the same command goes on',
      )
      .argument('<folder>')
      .option(...languagesFlag)
      .option('--json', 'print one JSON document'),
  ).action(async (folder: string, options: InstallOptions & { json?: boolean }) => {
    const screen = progressScreen(options.json);
    const found = await checkedBase(folder, options, (line) => screen.line(line));
    const pushed = await pushToStore(found, screen);
    const { name, digest } = found;
    if (options.json) return printJson({ name, digest, ...pushed });
    screen.line(
      `${name} is in the store: ${pushed.shards} shards and ${pushed.files.length} files, ${bytes(pushed.bytes)}, of which ${bytes(pushed.sentBytes)} were sent in ${duration(pushed.tookMs)}; workers find it by the option baseModel`,
    );
  });
  base
    .command('withdraw')
    .description('let a pushed base model go from the store: what no version needs is removed by the next collection')
    .argument('<name>')
    .action(async (name: string) => {
      await withdrawFromStore(name);
      console.log(`${name} is withdrawn: versions that start from it keep what they need`);
    });
};

const shortList = (languages: readonly string[]): string =>
  languages.length > 6 ? `${languages.slice(0, 5).join(' ')} and ${languages.length - 5} more` : languages.join(' ');
