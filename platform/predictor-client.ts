import type { CustomizationKey } from '../core/ids.ts';
import type { Json } from '../core/json.ts';
import type { GateLatency } from '../core/model.ts';
import type { Config } from './config.ts';

/** An output as its business model gives it, such as `{label, score, labels}` or `{entities}`. */
export type Prediction = { readonly [field: string]: Json };
export type PredictRequest = CustomizationKey & {
  readonly version: number;
  /** Fields as the business model takes them, such as `{text}`. */
  readonly inputs: readonly { readonly [field: string]: Json }[];
  readonly topK?: number;
};

/** A staged graph of an encoder, and the version that it is held against; null: none serves yet. */
export type LatencyRequest = CustomizationKey & {
  readonly version: number | null;
  readonly graph: { readonly key: string; readonly sha256: string };
};

/** The predictor does not answer, or cannot load the version now: worth another try. */
export class PredictorUnavailable extends Error {
  override name = 'PredictorUnavailable';
}
/** More texts wait than may: worth another try, but not at once. */
export class PredictorOverloaded extends PredictorUnavailable {
  override name = 'PredictorOverloaded';
  readonly retryAfterSeconds: number;
  constructor(message: string, retryAfterSeconds: number) {
    super(message);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}
/** The version is not one that the predictor can serve. */
export class VersionNotServable extends Error {
  override name = 'VersionNotServable';
}

export type PredictorClient = {
  predict(request: PredictRequest): Promise<{ readonly version: number; readonly outputs: readonly Prediction[] }>;
  /** Loads a version before it is asked. */
  warm(request: CustomizationKey & { readonly version: number }): Promise<void>;
  latency(request: LatencyRequest): Promise<GateLatency>;
};

/** Loading a large model for the first time takes seconds; answering takes milliseconds. */
const timeoutMs = 60_000;

/** The predictor over loopback or the cluster's network, with the token that only our own processes have. */
export function createPredictorClient(config: Pick<Config, 'predictorUrl' | 'internalToken'>): PredictorClient {
  const post = async (path: string, body: unknown): Promise<unknown> => {
    let response: Response;
    try {
      response = await fetch(`${config.predictorUrl}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${config.internalToken}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(timeoutMs),
      });
    } catch (error) {
      throw new PredictorUnavailable('the predictor does not answer: see `mw status`', { cause: error });
    }
    if (response.ok) return await response.json();
    const answer = (await response.json().catch(() => null)) as { detail?: string; overloaded?: boolean } | null;
    const detail = answer?.detail ?? `status ${response.status}`;
    if (answer?.overloaded) throw new PredictorOverloaded(detail, Number(response.headers.get('retry-after') ?? 1));
    throw response.status === 404 || response.status === 409 ? new VersionNotServable(detail) : new PredictorUnavailable(detail);
  };
  return {
    predict: async (request) => (await post('/internal/predict', request)) as Awaited<ReturnType<PredictorClient['predict']>>,
    latency: async (request) => (await post('/internal/latency', request)) as GateLatency,
    warm: async (request) => void (await post('/internal/warm', request)),
  };
}
