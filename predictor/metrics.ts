import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** What the predictor counts. */
export function predictorMetrics(registry: Registry, loadedBytes: () => number) {
  const registers = [registry];
  const loaded: Gauge = new Gauge({
    name: 'mw_predictor_loaded_bytes',
    help: 'memory of loaded encoders and heads',
    registers,
    collect: (): void => loaded.set(loadedBytes()),
  });
  return {
    seconds: new Histogram({
      name: 'mw_predict_seconds',
      help: 'time of one predict request',
      registers,
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    }),
    texts: new Counter({ name: 'mw_predict_texts_total', help: 'texts that were answered', registers }),
    refused: new Counter({
      name: 'mw_predict_refused_total',
      help: 'requests that were refused because too many texts waited',
      registers,
    }),
  };
}
