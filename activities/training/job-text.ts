import type { RunKey } from '../../core/ids.ts';

/** What names a run and its jobs, in work folders and on clusters: ids have no dot. */
export const runText = ({ tenantId, customizationId, run }: RunKey): string => `${tenantId}.${customizationId}.${run}`;
export const jobText = (key: RunKey, attempt: number): string => `${runText(key)}.${attempt}`;

/** The reverse of `jobText`; null for a text that is none. */
export function runOf(text: string | undefined): (RunKey & { readonly attempt: number }) | null {
  const [tenantId = '', customizationId = '', run = '', attempt = '', ...more] = (text ?? '').split('.');
  if (tenantId === '' || customizationId === '' || !/^\d+$/.test(run) || !/^\d+$/.test(attempt) || more.length > 0) return null;
  return { tenantId, customizationId, run: Number(run), attempt: Number(attempt) };
}
