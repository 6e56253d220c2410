import type { Client } from '@temporalio/client';
import type { Logger } from '../platform/logger.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { Config } from '../platform/config.ts';
import type { Pool } from '../platform/mysql.ts';
import type { PredictorClient } from '../platform/predictor-client.ts';
import type { ObjectStore } from '../store/object-store.ts';
import type { Placements } from '../store/placements.ts';

/** What the routes work with. */
export type ApiContext = {
  readonly config: Pick<Config, 'settings' | 'operatorKey' | 'internalToken' | 'mysql' | 'connectorUser' | 'connectUrl' | 'signing'>;
  readonly pool: Pool;
  readonly store: ObjectStore;
  readonly placements: Placements;
  readonly temporal: Client;
  readonly predictor: PredictorClient;
  readonly catalog: Catalog;
  readonly logger: Logger;
};
