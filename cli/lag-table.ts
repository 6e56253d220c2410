import { type RunState, endedRunStates } from '../core/run.ts';
import type { ApiClient } from './api-client.ts';
import type { Page } from './api-types.ts';
import { operatorClient } from './credentials.ts';
import { count, duration, table } from './wording.ts';

/** As `GET /v1/lag` answers it. */
export type LagItem = {
  readonly tenantId: string;
  readonly customizationId: string;
  readonly ms: number;
  readonly at: string;
  readonly oldestUnlearnedAt: string | null;
  readonly oldestUnservedAt: string | null;
  readonly unlearnedCommits: number;
  readonly lastRun: { readonly number: number; readonly state: RunState; readonly reason: string | null } | null;
  readonly slo: { readonly ms: number | null; readonly state: string; readonly detail: string };
};

/** Shown at most, those that wait longest first. */
const maxRows = 40;
const maxPages = 20;

/** Every customization's lag; null when the API does not answer. */
export async function readLag(client: () => ApiClient = operatorClient): Promise<readonly LagItem[] | null> {
  try {
    const api = client();
    const items: LagItem[] = [];
    let cursor = '';
    for (let i = 0; i < maxPages; i++) {
      const page = await api.call<Page<LagItem>>('GET', `/v1/lag?limit=1000${cursor}`);
      items.push(...page.items);
      if (page.nextCursor === null) break;
      cursor = `&cursor=${page.nextCursor}`;
    }
    return items;
  } catch {
    return null;
  }
}

/** A table of customizations: what waits, since when, and how the objective stands. */
export function lagTable(items: readonly LagItem[]): string {
  const age = (at: string | null, now: string): string => (at === null ? '-' : duration(Math.max(0, Date.parse(now) - Date.parse(at))));
  const rows = [...items]
    .sort((a, b) => b.ms - a.ms)
    .slice(0, maxRows)
    .map((item) => [
      `${item.tenantId}/${item.customizationId}`,
      age(item.oldestUnlearnedAt, item.at),
      count(item.unlearnedCommits),
      age(item.oldestUnservedAt, item.at),
      item.slo.ms === null ? '-' : `${item.slo.state} (${duration(item.slo.ms)})`,
      whyOf(item),
    ]);
  const more = items.length > maxRows ? `\nand ${items.length - maxRows} more` : '';
  return `${table(['customization', 'oldest unlearned', 'commits', 'oldest unserved', 'objective', 'why'], rows)}${more}`;
}

/** What the objective says, and what the newest run is doing or came to while something waits. */
function whyOf({ oldestUnlearnedAt, oldestUnservedAt, slo, lastRun }: LagItem): string {
  const objective = slo.state === 'missed' || slo.state === 'burning' ? [slo.detail] : [];
  if ((oldestUnlearnedAt === null && oldestUnservedAt === null) || lastRun === null) return objective.join('; ');
  const { number, state, reason } = lastRun;
  if (!endedRunStates.includes(state)) return [...objective, `run ${number}: ${state}`].join('; ');
  return [...objective, ...(state === 'succeeded' ? [] : [`run ${number} was ${state}${reason ? `: ${reason}` : ''}`])].join('; ');
}
