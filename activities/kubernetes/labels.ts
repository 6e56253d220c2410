import type { RunKey } from '../../core/ids.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { jobText, runText } from '../training/job-text.ts';

/** Labels and annotations of everything that we make on a cluster. Label values are short and safe; the exact ids are in annotations. */
export const managedBy = 'app.kubernetes.io/managed-by';
export const managedByUs = 'modelwright';
/** Names the installation, so that two of them may share a namespace: neither sees the other's jobs. */
export const installationLabel = 'modelwright.io/installation';
/** Selects what this installation has made. */
export const oursOf = (installation: string): string => `${managedBy}=${managedByUs},${installationLabel}=${installation}`;
/** Names the run: all of its attempts have it. */
export const runLabel = 'modelwright.io/run';
export const tenantLabel = 'modelwright.io/tenant';
/** Names the job: its pods and what belongs to them have it. */
export const jobLabel = 'modelwright.io/job';
/** Tenant, customization, run and attempt, in words. */
export const jobAnnotation = 'modelwright.io/job-of';
/** What the job holds, for those who count without looking into pods. */
export const gpusAnnotation = 'modelwright.io/gpus';
export const tierAnnotation = 'modelwright.io/tier';

/** Tenant ids are valid label values: lower case, digits, hyphens, at most 64 characters, of which a label takes 63. */
export const tenantValue = (tenantId: string): string =>
  tenantId.length <= 63 ? tenantId : `${tenantId.slice(0, 46)}-${shortHash(tenantId)}`;

export const shortHash = (text: string): string => sha256Hex(text).slice(0, 16);
export const runValue = (key: RunKey): string => shortHash(runText(key));

/** So long that a worker's pod, `<job>-<index>-<5 characters>`, has a valid name and host name. */
const longestName = 50;

/** The name of the job of (run, attempt): the same whoever asks, different for different jobs, and readable. */
export function jobName(installation: string, key: RunKey, attempt: number): string {
  const text = jobText(key, attempt);
  const readable = `mw-${text.replaceAll('.', '-')}`;
  return `${readable.slice(0, longestName - 9).replace(/-+$/, '')}-${shortHash(`${installation} ${text}`).slice(0, 8)}`;
}
