import { resolve } from 'node:path';
import { nowMs } from '../platform/clock.ts';
import { type RegisterCommand, printJson } from './command.ts';
import { tenantClient } from './credentials.ts';
import { pullModel } from './pull/pull-model.ts';
import { type TrustOptions, readerTrust, trustFlags } from './pull/trusted-keys.ts';
import { signedWords } from './pull/trusted-manifest.ts';
import { resolveVersion } from './pull/version-reference.ts';
import { Screen } from './screen.ts';
import { bytes, duration } from './wording.ts';

/** Progress: beside the answer, where that is a document. */
export const progressScreen = (json: boolean | undefined): Screen =>
  json ? new Screen(process.stderr.isTTY, (text) => void process.stderr.write(text)) : new Screen(process.stdout.isTTY);

export const registerPull: RegisterCommand = (program) => {
  program
    .command('pull')
    .description('write a version as a folder that plain transformers loads; after an interruption, the same command goes on')
    .argument('<customization[@version]>', 'such as news, news@production or news@v3')
    .argument('<folder>')
    .option('--json', 'print one JSON document')
    .option(...trustFlags[0])
    .option(...trustFlags[1])
    .action(async (reference: string, folder: string, options: TrustOptions & { json?: boolean }) => {
      const api = tenantClient();
      const started = nowMs();
      const screen = progressScreen(options.json);
      const found = await resolveVersion(api, reference);
      const { manifest, ...pulled } = await pullModel(
        api,
        found,
        folder,
        screen,
        await readerTrust(api, options, (line) => screen.line(line)),
      );
      const tensors = Object.keys(manifest.tensors).length;
      const took = nowMs() - started;
      if (options.json) return printJson({ ...found, folder: resolve(folder), tensors, ...pulled, tookMs: took });
      screen.line(
        `v${found.version} of ${found.customization}: ${tensors} tensors, every SHA-256 checked, ${signedWords(pulled.signedBy)}, in ${resolve(folder)}; ${bytes(pulled.fetchedBytes)} of ${bytes(pulled.bytes)} fetched in ${duration(took)}`,
      );
    });
};
