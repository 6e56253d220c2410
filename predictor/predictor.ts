import type { Catalog } from '../catalog/catalog.ts';
import type { Answerer, SharedEncoder } from '../catalog/contract.ts';
import type { ModelManifest } from '../core/model.ts';
import type { CustomizationKey } from '../core/ids.ts';
import type { Prediction, PredictRequest } from '../platform/predictor-client.ts';
import { loadAnswerer } from './answerer.ts';
import { type Encoder, type EncoderPrecision, loadEncoder } from './encoder.ts';
import { LruLoader } from './lru.ts';
import type { ModelStore } from './model-store.ts';

type Model = { readonly bytes: number; readonly manifest: ModelManifest; readonly answerer: Answerer };

export type Predictor = {
  predict(request: PredictRequest): Promise<{ readonly version: number; readonly outputs: readonly Prediction[] }>;
  warm(request: CustomizationKey & { readonly version: number }): Promise<void>;
  /** Bytes of loaded encoders and heads. */
  readonly loadedBytes: () => number;
};

/** A graph takes about this many times its file in memory. */
const encoderMemoryFactor = 1.5;

/** Loads versions on demand and answers. Encoders are shared by their digest, whoever's model starts from them. */
export function createPredictor(options: {
  readonly store: ModelStore;
  readonly catalog: Catalog;
  readonly cacheBytes: number;
  readonly threads: number;
  readonly precision: EncoderPrecision;
  /** Texts that may wait for one encoder. */
  readonly maxWaiting: number;
  /** Told of each pass of an encoder: how many texts went through together. */
  readonly onPass?: (texts: number) => void;
}): Predictor {
  const { store, catalog, cacheBytes, threads, precision, maxWaiting, onPass } = options;
  const models = new LruLoader<Model>(cacheBytes / 4);
  // A session in use must not be released under it: the garbage collector frees what is evicted.
  const encoders = new LruLoader<Encoder>((cacheBytes * 3) / 4);

  const model = (request: CustomizationKey & { readonly version: number }): Promise<Model> =>
    models.get(JSON.stringify([request.tenantId, request.customizationId, request.version]), async () => {
      const manifest = await store.manifest(request, request.version);
      const answerer = await loadAnswerer(store, catalog, manifest);
      return { manifest, answerer, bytes: answerer.bytes + JSON.stringify(manifest).length };
    });
  const encoder = ({ files, encoder: info, version }: ModelManifest): Promise<Encoder> => {
    const onnx = files.find(({ role }) => role === 'encoder-onnx');
    const tokenizer = files.find(({ role }) => role === 'tokenizer');
    if (!onnx || !tokenizer) throw new Error(`the manifest of v${version} has no encoder or no tokenizer`);
    return encoders.get(`${onnx.sha256} ${tokenizer.sha256}`, async () =>
      loadEncoder({
        onnxPath: await store.file(onnx),
        tokenizer: await store.bytes(tokenizer),
        bytes: Math.round(onnx.bytes * encoderMemoryFactor),
        threads,
        prefix: info.prefix,
        dim: info.dim,
        precision,
        maxWaiting,
        ...(onPass ? { onPass } : {}),
      }),
    );
  };
  /** The encoder of a version as its answerer sees it. It is loaded when it is asked first: not every business model needs one. */
  const shared = (manifest: ModelManifest, tenantId: string): SharedEncoder => {
    const { dim, maxTokens } = manifest.encoder;
    return {
      dim,
      embed: async (texts) => (await encoder(manifest)).embed(texts, maxTokens, tenantId),
      embedTokens: async (texts) => (await encoder(manifest)).embedTokens(texts, maxTokens, tenantId),
    };
  };
  return {
    predict: async (request) => {
      const { manifest, answerer } = await model(request);
      const outputs = await answerer.answer(request.inputs, shared(manifest, request.tenantId), { topK: request.topK ?? 1 });
      return { version: manifest.version, outputs };
    },
    warm: async (request) => {
      const { manifest } = await model(request);
      await (await encoder(manifest)).embed(['warm'], manifest.encoder.maxTokens, request.tenantId);
    },
    loadedBytes: () => models.bytes + encoders.bytes,
  };
}
