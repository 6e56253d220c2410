import { sleep } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import type { Logger } from '../platform/logger.ts';
import { type GatewayAbilities, lackingAbilities, probeGateway } from '../store/gateway-probe.ts';
import { StoreUnavailable } from '../store/object-store.ts';

const askAgainMs = 5_000;
/** Then the process ends, and whoever keeps it running starts it anew. */
const attempts = 12;

/**
 * What the store's gateway really does, tried before this process writes to it; it is told once. Throws `GatewayRefused` for one that cannot be the
 * store, and waits a minute for one that is away.
 */
export async function probedGateway(config: Config, logger: Logger): Promise<GatewayAbilities> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const abilities = await probeGateway(config);
      logger.info(
        { endpoint: config.s3.endpoint, bucket: config.s3.bucket, abilities, lacking: lackingAbilities(abilities) },
        'store probed',
      );
      return abilities;
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || attempt === attempts) throw error;
      logger.warn({ err: error }, `the store does not answer: asked again in ${askAgainMs / 1_000} s`);
      await sleep(askAgainMs);
    }
  }
}
