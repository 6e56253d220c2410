import { nowMs } from '../../platform/clock.ts';
import type { ApiClient } from '../api-client.ts';
import type { ImportReport, Page, Predictions, Run } from '../api-types.ts';
import { CommandError } from '../command.ts';
import { followReceipt } from '../follow-receipt.ts';
import { type Screen, bar } from '../screen.ts';
import { answerText, count, duration, percent, scoreText, table } from '../wording.ts';
import type { DemoPlan, DemoRow } from './demo-data.ts';

/** Answers asked for at once. */
const predictBatch = 50;
/** Rows of one chunk of an import. */
const chunkRows = 25;
const shownArticles = 4;
/** Long enough for an import to end, short enough not to wait for. */
const quietPeriodMs = 2_000;

/** The first words tell the topic of an article: reading more takes longer and gains little. */
const maxTokens = 128;

/** A step that did not hold: the demo ends with status 1. */
export class StepFailed extends CommandError {
  override name = 'StepFailed';
}

export type DemoOutcome = {
  readonly customization: string;
  readonly versions: readonly { readonly version: number; readonly accuracy: number; readonly lagMs: number; readonly run: Run }[];
};

/** The main job: rows in, versions out, and nothing else is called. */
export async function runDemo(api: ApiClient, plan: DemoPlan, screen: Screen, signal: AbortSignal): Promise<DemoOutcome> {
  const customization = await newCustomization(api);
  screen.line(
    `customization ${customization}: business model text-classification, a run follows ${duration(quietPeriodMs)} after the last change`,
  );
  const versions: DemoOutcome['versions'][number][] = [];

  screen.line();
  screen.line(
    `1. ${count(plan.first.length)} examples of ${plan.firstLabels.join(', ')} (${plan.corrections.length} of them with a wrong label)`,
  );
  const known = plan.heldOut.filter(({ label }) => plan.firstLabels.includes(label));
  const first = await learn(api, customization, plan.first, screen, signal);
  await showAnswers(api, customization, known, screen);
  versions.push({ ...first, accuracy: await accuracyOf(api, customization, known, first.version) });
  screen.line(`  v${first.version} gets ${percent(versions[0]?.accuracy ?? 0)} of ${count(known.length)} unseen texts right`);

  screen.line();
  const news =
    plan.laterLabel === null
      ? `${count(plan.later.length)} more examples`
      : `${count(plan.later.length)} examples of a new label, ${plan.laterLabel}`;
  screen.line(`2. ${news}, and ${plan.corrections.length} corrected labels`);
  const second = await learn(api, customization, [...plan.later, ...plan.corrections], screen, signal);
  const fresh = plan.laterLabel === null ? plan.heldOut : plan.heldOut.filter(({ label }) => label === plan.laterLabel);
  await showAnswers(api, customization, fresh, screen);
  versions.push({ ...second, accuracy: await accuracyOf(api, customization, plan.heldOut, second.version) });
  screen.line(`  v${second.version} gets ${percent(versions[1]?.accuracy ?? 0)} of ${count(plan.heldOut.length)} unseen texts right`);
  if (second.version <= first.version)
    throw new StepFailed(`the second import led to v${second.version}, not to a version after v${first.version}`);
  const learned = await accuracyOf(api, customization, fresh, second.version);
  if (learned < 0.5)
    throw new StepFailed(
      `v${second.version} gets only ${percent(learned)} of the unseen texts of ${plan.laterLabel ?? 'the second import'} right`,
    );
  return { customization, versions };
}

/** The stages of every run, and how long a commit took to serve. */
export function summary({ versions }: DemoOutcome): string {
  const stages = ['dataset', 'train', 'gate', 'shard', 'publish'];
  const took = (run: Run, name: string): string => {
    const stage = run.stages.find((one) => one.name === name);
    return stage?.endedAt ? duration(Date.parse(stage.endedAt) - Date.parse(stage.startedAt)) : '-';
  };
  return table(
    ['version', 'unseen texts right', 'commit to serving', ...stages],
    versions.map(({ version, accuracy, lagMs, run }) => [
      `v${version}`,
      percent(accuracy),
      duration(lagMs),
      ...stages.map((name) => took(run, name)),
    ]),
  );
}

async function newCustomization(api: ApiClient): Promise<string> {
  const { items } = await api.call<Page<{ id: string }>>('GET', '/v1/customizations?limit=1000');
  const taken = new Set(items.map(({ id }) => id));
  let n = 1;
  while (taken.has(`news-${n}`)) n += 1;
  const { id } = await api.call<{ id: string }>('POST', '/v1/customizations', {
    id: `news-${n}`,
    name: `Demo ${n}`,
    businessModel: 'text-classification',
    options: { maxTokens },
    policy: { quietPeriodMs },
  });
  return id;
}

/** Imports rows and watches their last commit until a version serves it. */
async function learn(
  api: ApiClient,
  customization: string,
  rows: readonly DemoRow[],
  screen: Screen,
  signal: AbortSignal,
): Promise<{ version: number; lagMs: number; run: Run }> {
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < rows.length; at += chunkRows) {
      signal.throwIfAborted();
      yield Buffer.from(
        rows
          .slice(at, at + chunkRows)
          .map((row) => `${JSON.stringify(row)}\n`)
          .join(''),
      );
      screen.changing('import', `  importing ${bar(at + chunkRows, rows.length)} of ${count(rows.length)} examples`);
    }
  };
  const startedMs = nowMs();
  const report = await api.upload<ImportReport>(`/v1/customizations/${customization}/examples:import`, 'application/x-ndjson', chunks());
  const seconds = (nowMs() - startedMs) / 1_000;
  screen.line(
    `  imported   ${count(report.stored)} stored, ${count(report.updated)} updated (${count(Math.round(rows.length / seconds))} a second)`,
  );
  if (report.rejected > 0) throw new StepFailed(`${report.rejected} rows were rejected, the first: ${report.errors[0]?.message ?? ''}`);
  const commit = report.commits.at(-1);
  if (!commit) throw new StepFailed('the import named no commit');
  const { receipt, servedBy } = await followReceipt(api, commit, screen, signal);
  if (servedBy === null) throw new StepFailed(`no version serves the commit: ${receipt.reason ?? 'no reason was given'}`);
  const serving = receipt.stations.find(({ name }) => name === 'serving')?.at;
  const run = await api.call<Run>('GET', `/v1/customizations/${customization}/runs/${receipt.run ?? 0}`);
  return { version: servedBy, lagMs: Date.parse(serving ?? '') - Date.parse(receipt.committedAt ?? ''), run };
}

async function predict(api: ApiClient, customization: string, rows: readonly DemoRow[]): Promise<Predictions> {
  return await api.call<Predictions>('POST', `/v1/customizations/${customization}:predict`, { inputs: rows.map(({ text }) => ({ text })) });
}

async function showAnswers(api: ApiClient, customization: string, rows: readonly DemoRow[], screen: Screen): Promise<void> {
  const some = rows.slice(0, shownArticles);
  const { version, outputs } = await predict(api, customization, some);
  some.forEach(({ text, label }, i) => {
    const answer = outputs[i];
    const mark = answer?.['label'] === label ? 'right' : `wrong, it is ${label}`;
    screen.line(
      `  v${version}: ${answerText(answer ?? {}).padEnd(14)} ${scoreText(answer ?? {}).padStart(7)}  ${mark.padEnd(8)} ${text.replaceAll(/\s+/g, ' ').slice(0, 60)}`,
    );
  });
}

async function accuracyOf(api: ApiClient, customization: string, rows: readonly DemoRow[], version: number): Promise<number> {
  let right = 0;
  for (let at = 0; at < rows.length; at += predictBatch) {
    const batch = rows.slice(at, at + predictBatch);
    const answer = await predict(api, customization, batch);
    if (answer.version !== version) throw new StepFailed(`v${answer.version} answered, v${version} should serve`);
    right += batch.filter(({ label }, i) => answer.outputs[i]?.['label'] === label).length;
  }
  return rows.length === 0 ? 0 : right / rows.length;
}
