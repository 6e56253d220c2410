import { readFileSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { type LineageFile, type LineageProof, proofProblem } from '../store/lineage-proof.ts';
import type { Page } from './api-types.ts';
import { CommandError, type RegisterCommand, printJson } from './command.ts';
import { tenantClient } from './credentials.ts';
import { table } from './wording.ts';

const fileSchema = z.looseObject({
  format: z.literal('modelwright-lineage/1'),
  customization: z.string(),
  exampleId: z.string(),
  items: z.array(
    z.looseObject({
      version: z.number(),
      dataset: z.looseObject({ number: z.number(), digest: z.string() }),
      leaf: z.looseObject({ digest: z.string(), split: z.string() }),
      proof: z.array(z.looseObject({ side: z.enum(['left', 'right']), digest: z.string() })),
    }),
  ),
});

async function versionsOf(customization: string, exampleId: string): Promise<LineageProof[]> {
  const api = tenantClient();
  const items: LineageProof[] = [];
  for (let cursor = ''; ;) {
    const path = `/v1/customizations/${customization}/examples/${encodeURIComponent(exampleId)}/models?limit=50${cursor}`;
    const page = await api.call<Page<LineageProof>>('GET', path);
    items.push(...page.items);
    if (page.nextCursor === null) return items;
    cursor = `&cursor=${page.nextCursor}`;
  }
}

function readProofs(path: string): LineageFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    throw new CommandError(`${path} cannot be read`);
  }
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch {
    throw new CommandError(`${path} is not a proof that \`./mw lineage EXAMPLE --customization C --out FILE\` has written`);
  }
}

/** Checks a file of proofs; sentences about what is wrong. Needs no server. */
export function lineageProblems(path: string, linePath?: string): { readonly file: LineageFile; readonly problems: string[] } {
  const file = readProofs(path);
  const line = linePath === undefined ? undefined : readFileSync(linePath, 'utf8').replace(/\r?\n$/, '');
  const problems = file.items.map((item) => proofProblem(item, line)).filter((problem) => problem !== null);
  return { file, problems };
}

function verifyFile(path: string | undefined, options: { line?: string; json?: boolean }): void {
  if (path === undefined) throw new CommandError('name the file: `./mw lineage verify FILE`');
  const { file, problems } = lineageProblems(path, options.line);
  if (options.json) printJson({ ok: problems.length === 0, versions: file.items.map(({ version }) => version), problems });
  else if (problems.length === 0)
    for (const { version, dataset } of file.items)
      console.log(`v${version} learned ${file.exampleId}: it is a row of dataset ${dataset.digest}`);
  else for (const problem of problems) console.log(problem);
  if (problems.length > 0 || file.items.length === 0) process.exitCode = 1;
}

export const registerLineage: RegisterCommand = (program) => {
  program
    .command('lineage')
    .description('versions that learned an example, with a proof; `lineage verify FILE` checks one without a server')
    .argument('<example>', 'id of the example, or `verify`')
    .argument('[file]', 'with `verify`: the proof')
    .option('--customization <id>', 'the customization that the example belongs to')
    .option('--out <file>', 'write the proof there')
    .option('--line <file>', 'with `verify`: the line of the dataset that is claimed to have been learned')
    .option('--json', 'print one JSON document')
    .action(
      async (
        example: string,
        file: string | undefined,
        options: { customization?: string; out?: string; line?: string; json?: boolean },
      ) => {
        if (example === 'verify' && options.customization === undefined) return verifyFile(file, options);
        const { customization } = options;
        if (customization === undefined) throw new CommandError('name the customization: --customization C');
        const items = await versionsOf(customization, example);
        const lineage: LineageFile = { format: 'modelwright-lineage/1', customization, exampleId: example, items };
        if (options.out !== undefined) writeFileSync(options.out, `${JSON.stringify(lineage, null, 2)}\n`);
        if (options.json) return printJson(lineage);
        if (items.length === 0) console.log(`no version of ${customization} has learned ${example}`);
        else
          console.log(
            table(
              ['version', 'dataset', 'split', 'digest of the line', 'proof'],
              items.map(({ version, dataset, leaf, proof }) => [
                `v${version}`,
                String(dataset.number),
                leaf.split,
                leaf.digest.slice(0, 16),
                `${proof.length} steps to ${dataset.digest.slice(0, 16)}`,
              ]),
            ),
          );
        if (options.out !== undefined) console.log(`written to ${options.out}: check it with \`./mw lineage verify ${options.out}\``);
      },
    );
};
