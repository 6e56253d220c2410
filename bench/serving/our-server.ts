import { availableParallelism } from 'node:os';
import { Registry } from 'prom-client';
import { loadCatalog } from '../../catalog/catalog.ts';
import { createPredictor } from '../../predictor/predictor.ts';
import { predictorServer } from '../../predictor/server.ts';
import { type TrainedModel, trainedStore } from './trained-store.ts';

// The predictor as workers/predictor.ts starts it, over a trained model in a folder: `our-server.ts PORT f32|int8 TOKEN MODEL_JSON`.
const [, , port = '', precision = '', internalToken = '', model = '{}'] = process.argv;
const trained = JSON.parse(model) as TrainedModel;
const catalog = await loadCatalog();
const { id = '', version = '' } = catalog.get('text-classification') ?? {};
const app = predictorServer({
  predictor: createPredictor({
    store: trainedStore(trained, { id, version }),
    catalog,
    cacheBytes: 1_073_741_824,
    threads: availableParallelism(),
    precision: precision === 'int8' ? 'int8' : 'f32',
    maxWaiting: 4_000,
  }),
  internalToken,
  registry: new Registry(),
  checks: [],
  onError: (error) => console.error(error),
});
await app.listen({ host: '127.0.0.1', port: Number(port) });
