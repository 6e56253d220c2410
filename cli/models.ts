import { resolve } from 'node:path';
import type { ModelManifest } from '../core/model.ts';
import { primaryText } from '../core/metrics.ts';
import type { ModelVersion, Page } from './api-types.ts';
import { type RegisterCommand, printJson } from './command.ts';
import { tenantClient } from './credentials.ts';
import { diffLines } from './models/diff-lines.ts';
import { diffManifests } from './models/diff-manifests.ts';
import { exportLayout } from './models/oci-layout.ts';
import { verifiedLines, verifyVersion } from './models/verify-version.ts';
import { progressScreen } from './pull.ts';
import { type TrustOptions, readerTrust, trustFlags } from './pull/trusted-keys.ts';
import { resolveVersion } from './pull/version-reference.ts';
import { bytes, count, table } from './wording.ts';

type Options = TrustOptions & { readonly json?: boolean };
const jsonFlag = ['--json', 'print one JSON document'] as const;

/** What of a version's files is not as it should be, or cannot change. */
const standing = ({ removed, damaged, held }: ModelVersion): string[] => [
  ...(removed === undefined ? [] : ['removed']),
  ...(damaged === undefined ? [] : ['DAMAGED']),
  ...(held ? ['held'] : []),
];

export const registerModels: RegisterCommand = (program) => {
  const models = program.command('models').description('published versions of a customization: list, verify, compare, export');
  models
    .command('list', { isDefault: true })
    .description('the latest first')
    .argument('<customization>')
    .option(...jsonFlag)
    .action(async (customization: string, options: Options) => {
      const page = await tenantClient().call<Page<ModelVersion>>('GET', `/v1/customizations/${customization}/models?limit=50`);
      if (options.json) return printJson(page);
      const rows = page.items.map((model) => [
        `v${model.version}`,
        [...model.aliases, ...standing(model)].join(', '),
        primaryText(model.metrics),
        count(model.dataset.rows),
        bytes(model.bytes),
        bytes(model.storedBytes),
        model.baseModel ? `${model.baseModel.name} (${model.baseModel.languages.join(', ') || 'any'})` : '-',
        model.verdict.explanation,
      ]);
      console.log(table(['version', 'serves as', 'quality', 'rows', 'size', 'new bytes', 'encoder', 'gate'], rows));
    });
  models
    .command('verify')
    .description(
      'read every shard and file of a version and compare its SHA-256, in the store or in a pulled folder, and check its signature; status 1 if one is wrong',
    )
    .argument('<customization[@version]>', 'such as news, news@production or news@v3')
    .argument('[folder]', 'that it was pulled into')
    .option('--site <name>', 'of a store on two sites, first or second (default: both are read)')
    .option(...jsonFlag)
    .option(...trustFlags[0])
    .option(...trustFlags[1])
    .action(async (reference: string, folder: string | undefined, options: Options & { readonly site?: string }) => {
      const api = tenantClient();
      const screen = progressScreen(options.json);
      const found = await resolveVersion(api, reference);
      const trust = await readerTrust(api, options, (line) => screen.line(line));
      const result = await verifyVersion(api, found, folder ?? null, screen, trust, options.site ?? null);
      if (options.json) printJson(result);
      else for (const line of verifiedLines(result)) screen.line(line);
      if (!result.ok) process.exitCode = 1;
    });
  models
    .command('diff')
    .description('what changed from one version to another: tensors, bytes, files, labels, options, metrics')
    .argument('<customization>')
    .argument('<from>', 'such as v3 or production')
    .argument('<to>')
    .option(...jsonFlag)
    .action(async (customization: string, from: string, to: string, options: Options) => {
      const api = tenantClient();
      const [before, after] = await Promise.all([from, to].map((name) => resolveVersion(api, `${customization}@${name}`)));
      const manifestOf = (version: number | undefined): Promise<ModelManifest> =>
        api.call<ModelManifest>('GET', `/v1/customizations/${customization}/models/${version}/manifest`);
      const diff = diffManifests(await manifestOf(before?.version), await manifestOf(after?.version));
      if (options.json) return printJson({ customization, from: before?.version, to: after?.version, ...diff });
      console.log(`v${before?.version} -> v${after?.version} of ${customization}`);
      for (const line of diffLines(diff)) console.log(line);
    });
  models
    .command('export')
    .description('write a version as an OCI image layout (ModelPack), for registries')
    .argument('<customization[@version]>', 'such as news, news@production or news@v3')
    .argument('<folder>')
    .option(...jsonFlag)
    .option(...trustFlags[0])
    .option(...trustFlags[1])
    .action(async (reference: string, folder: string, options: Options) => {
      const api = tenantClient();
      const screen = progressScreen(options.json);
      const found = await resolveVersion(api, reference);
      const exported = await exportLayout(api, found, folder, screen, await readerTrust(api, options, (line) => screen.line(line)));
      if (options.json) return printJson({ ...found, folder: resolve(folder), ...exported });
      screen.line(`v${found.version} of ${found.customization}: an OCI layout with the tag v${found.version} in ${resolve(folder)}`);
    });
};
