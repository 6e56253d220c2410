import type { Pool } from '../../platform/mysql.ts';
import { gpuSecondsLeft } from '../registry/gpu-use.ts';

/** So often the tenant's use is summed up while one of its trainings holds a GPU: it is overspent by this much at most, for each training. */
const askEveryMs = 15_000;

/** Aborts its signal when the tenant has used up its GPU seconds. A database that is away is asked again. */
export function watchBudget(
  pool: Pool,
  tenantId: string,
  holdsGpu: () => boolean,
  everyMs: number = askEveryMs,
): { readonly signal: AbortSignal; readonly close: () => void } {
  const spent = new AbortController();
  const timer = setInterval(() => {
    if (!holdsGpu()) return;
    gpuSecondsLeft(pool, tenantId).then(
      (left) => left !== null && left <= 0 && spent.abort(),
      () => undefined,
    );
  }, everyMs);
  return { signal: spent.signal, close: () => clearInterval(timer) };
}
