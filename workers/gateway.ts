import { sleep } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import type { Logger } from '../platform/logger.ts';
import type { Pool } from '../platform/mysql.ts';
import { lackingAbilities } from '../store/gateway-probe.ts';
import { GatewayRefused } from '../store/gateway-refused.ts';
import { StoreUnavailable } from '../store/object-store.ts';
import { placesOf, siteWords } from '../store/open-store.ts';
import { probePlace } from '../store/placement-probe.ts';
import { WrongPlacements, loadPlacements } from '../store/placements.ts';
import { placementProblems } from '../store/tenant-placements.ts';

const askAgainMs = 5_000;
/** Then the process ends, and whoever keeps it running starts it anew. */
const attempts = 12;

/**
 * What the gateway of each site of the store really does, in every bucket, tried before this process writes to it; it is told once. Throws
 * `GatewayRefused` for one that cannot be the store, and waits a minute for one that is away, unless the other site answers.
 */
export async function probedGateway(config: Config, pool: Pool, logger: Logger, signal: AbortSignal): Promise<void> {
  // Only these tenants wait: the others are served.
  try {
    for (const problem of await placementProblems(pool, loadPlacements(config))) logger.error(problem);
  } catch (error) {
    if (error instanceof WrongPlacements) throw error;
    // The database may be away for now: whatever is done for a tenant asks it again.
    logger.warn({ err: error }, 'the placements of tenants could not be looked at');
  }
  for (let attempt = 1; ; attempt += 1) {
    const places = placesOf(config);
    const tried = await Promise.allSettled(places.map((place) => probePlace(place, config.settings.MW_OBJECT_LOCK_DAYS)));
    const away: string[] = [];
    let last: unknown;
    const here = new Set(places.map(({ name }) => name));
    for (const [index, { name, placement, s3 }] of places.entries()) {
      const { endpoint, bucket, storageClass } = s3;
      const about = { site: name, endpoint, bucket, ...(placement === null ? {} : { placement, storageClass }) };
      const result = tried[index];
      if (result?.status === 'fulfilled')
        logger.info({ ...about, abilities: result.value, lacking: lackingAbilities(result.value) }, 'store probed');
      else {
        const words = siteWords(config, name);
        if (result?.reason instanceof GatewayRefused)
          throw new GatewayRefused(`${words}${result.reason.problem}`, result.reason.remedy, { cause: result.reason });
        // Whatever else goes wrong may pass: another process tries the same gateway at the same time, or it is starting.
        away.push(`${words}${result?.reason instanceof Error ? result.reason.message : 'it could not be tried'}`);
        last = result?.reason;
        here.delete(name);
        logger.warn({ ...about, err: result?.reason }, 'a site of the store could not be tried');
      }
    }
    if (here.size > 0) return;
    if (attempt === attempts) throw new StoreUnavailable(away.join('; '), { cause: last });
    logger.warn(`the store is tried again in ${askAgainMs / 1_000} s`);
    await sleep(askAgainMs, undefined, { signal });
  }
}
