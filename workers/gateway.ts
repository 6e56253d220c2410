import { sleep } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import type { Logger } from '../platform/logger.ts';
import { type GatewayAbilities, GatewayRefused, lackingAbilities, probeGateway } from '../store/gateway-probe.ts';

const askAgainMs = 5_000;
/** Then the process ends, and whoever keeps it running starts it anew. */
const attempts = 12;

/**
 * What the store's gateway really does, tried before this process writes to it; it is told once. Throws `GatewayRefused` for one that cannot be the
 * store, and waits a minute for one that is away.
 */
export async function probedGateway(config: Config, logger: Logger, signal: AbortSignal): Promise<GatewayAbilities> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const abilities = await probeGateway(config);
      logger.info(
        { endpoint: config.s3.endpoint, bucket: config.s3.bucket, abilities, lacking: lackingAbilities(abilities) },
        'store probed',
      );
      return abilities;
    } catch (error) {
      // Whatever else goes wrong may pass: another process tries the same gateway at the same time, or it is starting.
      if (error instanceof GatewayRefused || attempt === attempts) throw error;
      logger.warn({ err: error }, `the store could not be tried: again in ${askAgainMs / 1_000} s`);
      await sleep(askAgainMs, undefined, { signal });
    }
  }
}
