import type { Catalog } from '../catalog/catalog.ts';
import type { Answerer, SharedEncoder } from '../catalog/contract.ts';
import type { ModelManifest } from '../core/model.ts';
import type { CustomizationKey } from '../core/ids.ts';
import type { Prediction, PredictRequest } from '../platform/predictor-client.ts';
import { loadAnswerer } from './answerer.ts';
import { type Decoder, loadDecoder } from './decoder.ts';
import { type Encoder, loadEncoder } from './encoder.ts';
import { LruLoader } from './lru.ts';
import type { ModelStore } from './model-store.ts';

type Model = { readonly bytes: number; readonly manifest: ModelManifest; readonly answerer: Answerer };

export type Predictor = {
  predict(request: PredictRequest): Promise<{ readonly version: number; readonly outputs: readonly Prediction[] }>;
  warm(request: CustomizationKey & { readonly version: number }): Promise<void>;
  /** Bytes of loaded base models and heads. */
  readonly loadedBytes: () => number;
};

/** A graph takes about this many times its file in memory. */
const graphMemoryFactor = 1.5;

type Loaded = { readonly bytes: number } & ({ readonly encoder: Encoder } | { readonly decoder: Decoder });

/** Loads versions on demand and answers. Encoders and causal language models are shared by their digest, whoever's model starts from them. */
export function createPredictor(options: {
  readonly store: ModelStore;
  readonly catalog: Catalog;
  readonly cacheBytes: number;
  readonly threads: number;
  /** Told of each pass of an encoder: how many texts went through together. */
  readonly onPass?: (texts: number) => void;
}): Predictor {
  const { store, catalog, cacheBytes, threads, onPass } = options;
  const models = new LruLoader<Model>(cacheBytes / 4);
  // A session in use must not be released under it: the garbage collector frees what is evicted.
  const bases = new LruLoader<Loaded>((cacheBytes * 3) / 4);

  const model = (request: CustomizationKey & { readonly version: number }): Promise<Model> =>
    models.get(JSON.stringify([request.tenantId, request.customizationId, request.version]), async () => {
      const manifest = await store.manifest(request, request.version);
      const answerer = await loadAnswerer(store, catalog, manifest);
      return { manifest, answerer, bytes: answerer.bytes + JSON.stringify(manifest).length };
    });
  const base = ({ files, encoder: info, version }: ModelManifest, role: 'encoder-onnx' | 'decoder-onnx'): Promise<Loaded> => {
    const onnx = files.find((file) => file.role === role);
    const tokenizer = files.find((file) => file.role === 'tokenizer');
    if (!onnx || !tokenizer) throw new Error(`the manifest of v${version} has no ${role} or no tokenizer`);
    return bases.get(`${onnx.sha256} ${tokenizer.sha256}`, async () => {
      const parts = {
        onnxPath: await store.file(onnx),
        tokenizer: await store.bytes(tokenizer),
        bytes: Math.round(onnx.bytes * graphMemoryFactor),
        threads,
      };
      if (role === 'decoder-onnx') return { bytes: parts.bytes, decoder: await loadDecoder(parts) };
      const encoder = await loadEncoder({ ...parts, prefix: info.prefix, dim: info.dim, ...(onPass ? { onPass } : {}) });
      return { bytes: parts.bytes, encoder };
    });
  };
  const encoder = async (manifest: ModelManifest): Promise<Encoder> => {
    const found = await base(manifest, 'encoder-onnx');
    if (!('encoder' in found)) throw new Error(`v${manifest.version} starts from no encoder`);
    return found.encoder;
  };
  const decoder = async (manifest: ModelManifest): Promise<Decoder> => {
    const found = await base(manifest, 'decoder-onnx');
    if (!('decoder' in found)) throw new Error(`v${manifest.version} starts from no causal language model`);
    return found.decoder;
  };
  /** The base model of a version as its answerer sees it. It is loaded when it is asked first: not every business model needs one. */
  const shared = (manifest: ModelManifest, tenantId: string): SharedEncoder => {
    const { dim, maxTokens } = manifest.encoder;
    return {
      dim,
      embed: async (texts) => (await encoder(manifest)).embed(texts, maxTokens, tenantId),
      embedTokens: async (texts) => (await encoder(manifest)).embedTokens(texts, maxTokens, tenantId),
      decoder: async () => (await decoder(manifest)).of(tenantId),
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
      if (manifest.files.some(({ role }) => role === 'decoder-onnx')) await decoder(manifest);
      else await (await encoder(manifest)).embed(['warm'], manifest.encoder.maxTokens, request.tenantId);
    },
    loadedBytes: () => models.bytes + bases.bytes,
  };
}
