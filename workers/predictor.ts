import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { loadCatalog } from '../catalog/catalog.ts';
import { loadConfig, trustOf } from '../platform/config.ts';
import { runProcess } from '../platform/lifecycle.ts';
import { createLogger } from '../platform/logger.ts';
import { createPool } from '../platform/mysql.ts';
import { forgottenCache, lookEveryMs } from '../predictor/forgotten-cache.ts';
import { createModelStore } from '../predictor/model-store.ts';
import { createPredictor } from '../predictor/predictor.ts';
import { predictorServer } from '../predictor/server.ts';
import { openStore } from '../store/open-store.ts';

const config = loadConfig();
const logger = createLogger('predictor', config.settings.MW_LOG_LEVEL);

await runProcess(logger, async () => {
  const { settings, paths } = config;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const passTexts = new Histogram({
    name: 'mw_predictor_pass_texts',
    help: 'texts that went through an encoder together',
    registers: [registry],
    buckets: [1, 2, 4, 8, 16, 32, 64, 128],
  });
  const catalog = await loadCatalog(settings.MW_CATALOG_DIR);
  const pool = createPool(config);
  const store = createModelStore(pool, openStore(config, pool), join(paths.processDir('predictor'), 'cache'), trustOf(config));
  const predictor = createPredictor({
    store,
    catalog,
    cacheBytes: settings.MW_PREDICTOR_CACHE_BYTES,
    threads: availableParallelism(),
    precision: settings.MW_ENCODER_PRECISION,
    maxWaiting: settings.MW_PREDICTOR_QUEUE_TEXTS,
    onPass: (texts) => passTexts.observe(texts),
  });
  const forget = forgottenCache(pool, store, predictor);
  const look = (): void =>
    void forget().catch((error: unknown) => logger.warn({ err: error }, 'what is forgotten was not looked for: the next look does it'));
  look();
  const looking = setInterval(look, lookEveryMs);
  const app = predictorServer({
    predictor,
    internalToken: config.internalToken,
    registry,
    checks: [{ name: 'mysql', check: async () => void (await pool.query('SELECT 1')) }],
    onError: (error) => logger.error({ err: error }, 'a request failed'),
  });
  await app.listen({ host: settings.MW_BIND, port: settings.MW_PREDICTOR_PORT });
  return [() => pool.end(), () => app.close(), async () => clearInterval(looking)];
});
