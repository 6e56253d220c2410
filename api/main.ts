import { loadCatalog } from '../catalog/catalog.ts';
import { loadConfig } from '../platform/config.ts';
import { runProcess } from '../platform/lifecycle.ts';
import { createLogger } from '../platform/logger.ts';
import { createPool } from '../platform/mysql.ts';
import { createPredictorClient } from '../platform/predictor-client.ts';
import { createTemporalClient } from '../platform/temporal.ts';
import { openStore } from '../store/open-store.ts';
import { loadPlacements } from '../store/placements.ts';
import { buildApp } from './app.ts';

/** Requests write in transactions of their own: as many at once as this, the others wait. */
const connections = 16;

const config = loadConfig();
const logger = createLogger('api', config.settings.MW_LOG_LEVEL);

await runProcess(logger, async () => {
  const pool = createPool(config, { connectionLimit: connections });
  const { client, close } = createTemporalClient(config);
  const app = await buildApp({
    config,
    pool,
    store: openStore(config, pool),
    placements: loadPlacements(config),
    temporal: client,
    predictor: createPredictorClient(config),
    catalog: await loadCatalog(config.settings.MW_CATALOG_DIR),
    logger,
  });
  await app.listen({ host: config.settings.MW_BIND, port: config.settings.MW_API_PORT });
  return [() => pool.end(), close, () => app.close()];
});
