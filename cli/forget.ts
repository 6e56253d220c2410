import { writeFileSync } from 'node:fs';
import type { ForgettingCertificate, ForgettingState } from '../core/forgetting.ts';
import { nowMs, sleep } from '../platform/clock.ts';
import { parseTrustedKeys, signingKeys } from '../platform/signing-keys.ts';
import { certificateProblem } from '../store/forgetting-certificate.ts';
import { type ApiClient, mayPass, patienceMs } from './api-client.ts';
import type { Page } from './api-types.ts';
import { CommandError, type RegisterCommand, printJson } from './command.ts';
import { tenantClient } from './credentials.ts';
import { bytes, count, counted, table } from './wording.ts';

type Shown = {
  readonly number: number;
  readonly state: ForgettingState;
  readonly waitsFor: readonly string[];
  readonly examples: number;
  readonly withdrawn: { readonly versions: readonly number[]; readonly datasets: readonly number[] };
  readonly askedAt: string;
  readonly deadlineAt: string;
  readonly certificate: ForgettingCertificate | null;
};
type Options = {
  readonly deadline?: string;
  readonly reason?: string;
  readonly wait?: boolean;
  readonly out?: string;
  readonly json?: boolean;
};

const pollMs = 1_000;

export function forgettingLines({ number, state, waitsFor, withdrawn, deadlineAt, certificate }: Shown): string[] {
  const head = `forgetting ${number}: ${state}`;
  if (!certificate) return [`${head} (deadline ${deadlineAt})`, ...waitsFor.map((what) => `  waits: ${what}`)];
  const { removed, search, residuals } = certificate;
  const versions = withdrawn.versions.map((version) => `v${version}`).join(', ') || 'no version';
  return [
    `${head}, certified ${certificate.issuedAt}`,
    `  withdrawn: ${versions} and ${counted(withdrawn.datasets.length, 'dataset')}; removed: ${counted(removed.objects, 'object')}, ${bytes(removed.bytes)}`,
    `  searched: ${counted(search.objects, 'object')}, ${bytes(search.bytes)}, for ${counted(search.texts, 'text')}: none is left`,
    ...(search.shared.texts > 0
      ? [`  ${counted(search.shared.texts, 'text')} cannot go, for other examples have the same: ${search.shared.exampleIds.join(', ')}`]
      : []),
    ...(search.elsewhere.length > 0 ? [`  texts are also in ${search.elsewhere.join(', ')}: forget them there too`] : []),
    table(
      ['may be longer in', 'until', 'what'],
      residuals.map(({ where, until, what, note }) => [where, until ?? 'not known', `${what} (${note})`]),
    ),
  ];
}

/** Waits as long as it takes; who does not want to asks `mw forget C` later. */
async function finished(api: ApiClient, customization: string, number: number, tell: (line: string) => void): Promise<Shown> {
  let told = '';
  for (let answeredMs = nowMs(); ; await sleep(pollMs)) {
    let now: Shown;
    try {
      now = await api.call<Shown>('GET', `/v1/customizations/${customization}/forgettings/${number}`);
    } catch (error) {
      if (!mayPass(error) || nowMs() - answeredMs > patienceMs) throw error;
      continue;
    }
    answeredMs = nowMs();
    if (now.certificate) return now;
    const why = now.waitsFor.join('; ');
    if (why !== told && why !== '') tell(`${now.state}: ${why}`);
    told = why;
  }
}

async function checked(api: ApiClient, certificate: ForgettingCertificate): Promise<void> {
  const { items } = await api.call<Page<{ readonly publicKey: string }>>('GET', '/v1/signing-keys');
  const { trusted } = signingKeys(null, parseTrustedKeys(items.map(({ publicKey }) => publicKey).join(',')));
  const problem = certificateProblem(certificate, trusted);
  if (problem !== null) throw new CommandError(`the certificate is not good: ${problem}`);
}

async function list(api: ApiClient, customization: string, json: boolean): Promise<void> {
  const { items } = await api.call<Page<Shown>>('GET', `/v1/customizations/${customization}/forgettings`);
  if (json) return printJson(items);
  if (items.length === 0) console.log(`nothing of ${customization} was asked to be forgotten`);
  for (const item of items) for (const line of forgettingLines(item)) console.log(line);
}

export const registerForget: RegisterCommand = (program) => {
  program
    .command('forget')
    .description('forget examples: delete them, withdraw what learned them, get a certificate; without ids, show how far that is')
    .argument('<customization>')
    .argument('[ids...]', 'ids of the examples')
    .option('--deadline <hours>', 'when what learned them goes, even if nothing else serves (default: as the policy says)')
    .option('--reason <text>', 'for the audit log')
    .option('--wait', 'wait for the certificate, and check it')
    .option('--out <file>', 'with --wait: write the certificate there')
    .option('--json', 'print one JSON document')
    .action(async (customization: string, ids: readonly string[], options: Options) => {
      const api = tenantClient();
      if (ids.length === 0) {
        if (options.wait || options.out !== undefined || options.deadline !== undefined || options.reason !== undefined)
          throw new CommandError(`nothing to forget is named: give the ids of examples, as in \`./mw forget ${customization} s17 s18\``);
        return await list(api, customization, options.json === true);
      }
      if (options.out !== undefined && !options.wait)
        throw new CommandError('--out writes the certificate, which --wait waits for: give both');
      const hours = options.deadline === undefined ? undefined : options.deadline.trim() === '' ? Number.NaN : Number(options.deadline);
      if (hours !== undefined && !(hours >= 0)) throw new CommandError('--deadline is a number of hours, such as 24');
      const { number } = await api.call<{ number: number }>('POST', `/v1/customizations/${customization}:forget`, {
        exampleIds: ids,
        ...(hours === undefined ? {} : { deadlineMs: Math.round(hours * 3_600_000) }),
        ...(options.reason === undefined ? {} : { reason: options.reason }),
      });
      const startedMs = nowMs();
      const now = options.wait
        ? await finished(api, customization, number, (line) => void (options.json || console.log(line)))
        : await api.call<Shown>('GET', `/v1/customizations/${customization}/forgettings/${number}`);
      if (now.certificate) {
        await checked(api, now.certificate);
        if (options.out !== undefined) writeFileSync(options.out, `${JSON.stringify(now.certificate, null, 2)}\n`);
      }
      if (options.json) return printJson(now);
      for (const line of forgettingLines(now)) console.log(line);
      if (!now.certificate) console.log(`look again with \`./mw forget ${customization}\``);
      else if (options.wait) console.log(`its signature is good; it took ${count(Math.round((nowMs() - startedMs) / 1_000))} s`);
    });
};
