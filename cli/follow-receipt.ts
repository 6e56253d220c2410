import { nowMs, sleep } from '../platform/clock.ts';
import { type ApiClient, ApiProblem, mayPass, patienceMs } from './api-client.ts';
import type { Receipt, Run } from './api-types.ts';
import { type Screen, bar } from './screen.ts';
import { duration } from './wording.ts';

const pollMs = 200;
const labelWidth = 11;

/** What became of a commit: a version serves it, or the reason why none will. */
export type Followed = { readonly receipt: Receipt; readonly servedBy: number | null };

export function stationLine(station: Receipt['stations'][number], committedAt: string | null): string {
  const after =
    station.at === null || committedAt === null ? '' : `+${duration(Math.max(0, Date.parse(station.at) - Date.parse(committedAt)))}`;
  return `  ${station.name.padEnd(labelWidth)} ${(station.name === 'committed' ? (station.at ?? '') : after).padEnd(26)} ${station.detail ?? ''}`.trimEnd();
}

/**
 * Shows a commit on its way through the stations until a version serves it or a reason ends it. One that another program made is not known before
 * it is sensed: it is waited for.
 */
export async function followReceipt(api: ApiClient, commit: string, screen: Screen, signal: AbortSignal): Promise<Followed> {
  const shown = new Set<string>();
  let lostSince: number | null = null;
  for (;;) {
    signal.throwIfAborted();
    try {
      const receipt = await api.call<Receipt>('GET', `/v1/receipts/${commit}`);
      lostSince = null;
      for (const station of receipt.stations) {
        if (station.at === null || shown.has(station.name)) continue;
        shown.add(station.name);
        screen.line(stationLine(station, receipt.committedAt));
      }
      if (shown.has('serving')) return { receipt, servedBy: receipt.version ?? null };
      if (receipt.reason) return { receipt, servedBy: null };
      const active = receipt.parts?.find(({ run, reason, stations }) => run !== null && reason === null && !stations.at(-1)?.at);
      if (active?.run) await showRun(api, active.customizationId, active.run, screen);
      else screen.changing('waiting', `  ${waitingFor(receipt)}`);
    } catch (error) {
      const isUnknown = error instanceof ApiProblem && error.status === 404;
      if (!mayPass(error) && !isUnknown) throw error;
      lostSince ??= nowMs();
      if (isUnknown) screen.changing('unknown', `  ${error.message}`);
      if (nowMs() - lostSince > patienceMs) throw error;
    }
    await sleep(pollMs, undefined, { signal });
  }
}

/** What the first station that is not reached says, or what the next one usually waits for. */
function waitingFor({ stations }: Receipt): string {
  const next = stations.find(({ at }) => at === null);
  if (next?.detail) return `${next.name}: ${next.detail}`;
  return next?.name === 'sensed' ? 'waiting to be sensed' : 'waiting for the quiet period to pass';
}

async function showRun(api: ApiClient, customization: string, number: number, screen: Screen): Promise<void> {
  const { state, progress, reason } = await api.call<Run>('GET', `/v1/customizations/${customization}/runs/${number}`);
  if (state !== 'training' || !progress) {
    screen.changing(state, `  run ${number}: ${state}${reason && state === 'failed' ? ` (${reason})` : ''}`);
    return;
  }
  const { phase = 'train', step, steps, loss, etaMs, job } = progress;
  if (job && job.state !== 'running') {
    const place = job.queuePosition === null ? '' : `, number ${job.queuePosition} in the queue`;
    screen.changing(job.state, `  run ${number}: ${job.state}${place}${job.why === null ? '' : `: ${job.why}`}`);
    return;
  }
  const facts = [
    `${phase} ${bar(step, steps)}`,
    `step ${step}/${steps}`,
    ...(loss === null ? [] : [`loss ${loss.toFixed(4)}`]),
    ...(etaMs === null ? [] : [`${duration(etaMs)} left`]),
  ];
  screen.changing(phase, `  run ${number}: ${facts.join('  ')}`);
}
