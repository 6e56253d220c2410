import { basename, resolve } from 'node:path';
import { addEncoder } from '../infra/local/add-encoder.ts';
import { provisionAll } from '../infra/local/provision.ts';
import { trainerEnvProvisioner } from '../infra/local/trainer-env.ts';
import { resolvePaths } from '../platform/paths.ts';
import { BrokenEncoder, checkEncoders } from '../store/encoder-folder.ts';
import { CommandError, type RegisterCommand, printJson } from './command.ts';
import { table } from './wording.ts';

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

type AddOptions = {
  readonly languages: string;
  readonly name?: string;
  readonly prefix: string;
  readonly license?: string;
  readonly maxTokens?: string;
};

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
  base
    .command('add')
    .description(
      'add a BERT encoder, or a causal language model of Llama, Mistral or Qwen, in Hugging Face layout (config.json, model.safetensors, tokenizer.json): checks it and exports it for serving',
    )
    .argument('<folder>')
    .requiredOption('--languages <codes>', 'languages that it was trained on, such as en,zh: it is chosen for examples in them')
    .option('--name <name>', "name for the option baseModel (default: the folder's)")
    .option('--prefix <text>', 'goes before every text, such as "query: "', '')
    .option('--license <name>', 'its licence')
    .option('--max-tokens <n>', 'tokens that it reads at most (default: what config.json says)')
    .action(async (folder: string, options: AddOptions) => {
      const paths = resolvePaths(process.env);
      const signal = new AbortController().signal;
      const name = options.name ?? basename(resolve(folder));
      if (!namePattern.test(name))
        throw new CommandError(`"${name}" is no name for a base model: use letters, digits, dot, dash and underscore, at most 100`);
      const languages = options.languages.split(',').map((code) => code.trim());
      if (!languages.every((code) => /^[a-z]{2,3}$/.test(code)))
        throw new CommandError('--languages takes codes of ISO 639, such as en,zh');
      const maxTokens = options.maxTokens === undefined ? {} : { maxTokens: Number(options.maxTokens) };
      if (options.maxTokens !== undefined && !/^[1-9]\d{0,5}$/.test(options.maxTokens))
        throw new CommandError('--max-tokens takes a whole number');
      await provisionAll([trainerEnvProvisioner], paths, signal, process.stdout.isTTY);
      const context = { paths, signal, report: (line: string) => console.log(line) };
      const { license, prefix } = options;
      try {
        const added = await addEncoder(context, resolve(folder), {
          name,
          languages,
          prefix,
          ...maxTokens,
          ...(license ? { license } : {}),
        });
        console.log(
          `${name} is installed (${added.kind}, ${added.dim} dimensions, ${added.maxTokens} tokens): choose it by the option baseModel`,
        );
      } catch (error) {
        if (error instanceof BrokenEncoder) throw new CommandError(error.message);
        throw error;
      }
    });
};

const shortList = (languages: readonly string[]): string =>
  languages.length > 6 ? `${languages.slice(0, 5).join(' ')} and ${languages.length - 5} more` : languages.join(' ');
