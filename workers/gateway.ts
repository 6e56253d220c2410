import { sleep } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import type { Logger } from '../platform/logger.ts';
import { lackingAbilities, probeGateway } from '../store/gateway-probe.ts';
import { GatewayRefused } from '../store/gateway-refused.ts';
import { placesOf } from '../store/open-store.ts';

const askAgainMs = 5_000;
/** Then the process ends, and whoever keeps it running starts it anew. */
const attempts = 12;

/**
 * What the gateway of each site of the store really does, tried before this process writes to it; it is told once. Throws `GatewayRefused` for one that
 * cannot be the store, and waits a minute for one that is away, unless the other site answers.
 */
export async function probedGateway(config: Config, logger: Logger, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const places = placesOf(config);
    const tried = await Promise.allSettled(places.map((place) => probeGateway(place, place.settings, config.settings.MW_OBJECT_LOCK_DAYS)));
    const away: unknown[] = [];
    for (const [index, { name, s3 }] of places.entries()) {
      const about = { site: name, endpoint: s3.endpoint, bucket: s3.bucket };
      const result = tried[index];
      if (result?.status === 'fulfilled')
        logger.info({ ...about, abilities: result.value, lacking: lackingAbilities(result.value) }, 'store probed');
      else {
        if (result?.reason instanceof GatewayRefused) throw result.reason;
        // Whatever else goes wrong may pass: another process tries the same gateway at the same time, or it is starting.
        away.push(result?.reason);
        logger.warn({ ...about, err: result?.reason }, 'a site of the store could not be tried');
      }
    }
    if (away.length < places.length) return;
    if (attempt === attempts) throw away[0];
    logger.warn(`the store is tried again in ${askAgainMs / 1_000} s`);
    await sleep(askAgainMs, undefined, { signal });
  }
}
