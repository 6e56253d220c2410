import type { Catalog } from '../catalog/catalog.ts';
import type { Answerer, SharedEncoder } from '../catalog/contract.ts';
import type { GateLatency, ModelFile, ModelManifest } from '../core/model.ts';
import type { CustomizationKey } from '../core/ids.ts';
import type { LatencyRequest, Prediction, PredictRequest } from '../platform/predictor-client.ts';
import { loadAnswerer } from './answerer.ts';
import { type Decoder, loadDecoder } from './decoder.ts';
import { type Encoder, loadEncoder } from './encoder.ts';
import { type EncoderPrecision, openGraph } from './graph.ts';
import { LruLoader } from './lru.ts';
import type { ModelStore } from './model-store.ts';
import { passCpuMs, timedTokens } from './pass-cpu.ts';

/** `role`: what kind of graph `onnx` is, and with that what the version starts from. */
type BaseParts = {
  readonly info: ModelManifest['encoder'];
  readonly role: 'encoder-onnx' | 'decoder-onnx';
  readonly onnx: ModelFile | undefined;
  readonly tokenizer: ModelFile | undefined;
};
type Loaded = { readonly bytes: number } & ({ readonly encoder: Encoder } | { readonly decoder: Decoder });
/** What is kept of a version. Its manifest is not: it names every tensor of the base and every label's figures, and may be larger than a head. */
type Model = { readonly bytes: number; readonly version: number; readonly base: BaseParts; readonly answerer: Answerer };
/** Strings and objects of a version, beside its tensors. */
const keptBytes = 8_192;

export type Predictor = {
  predict(request: PredictRequest): Promise<{ readonly version: number; readonly outputs: readonly Prediction[] }>;
  warm(request: CustomizationKey & { readonly version: number }): Promise<void>;
  /** CPU time of a candidate's encoder, which is not published yet, and of that of a version. */
  latency(request: LatencyRequest): Promise<GateLatency>;
  /** Forgets a version that was withdrawn: whoever asks for it is told so. */
  drop(request: CustomizationKey & { readonly version: number }): void;
  /** Bytes of loaded base models and heads. */
  readonly loadedBytes: () => number;
};

/** A graph takes about this many times its file in memory. */
const graphMemoryFactor = 1.5;

/** Loads versions on demand and answers. Encoders and causal language models are shared by their digest, whoever's model starts from them. */
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
  const bases = new LruLoader<Loaded>((cacheBytes * 3) / 4);

  const keyOf = (of: CustomizationKey & { readonly version: number }): string =>
    JSON.stringify([of.tenantId, of.customizationId, of.version]);
  const model = (request: CustomizationKey & { readonly version: number }): Promise<Model> =>
    models.get(keyOf(request), async () => {
      const manifest = await store.manifest(request, request.version);
      const answerer = await loadAnswerer(store, catalog, manifest);
      const fileOf = (role: ModelFile['role']): ModelFile | undefined => manifest.files.find((file) => file.role === role);
      const role = fileOf('decoder-onnx') ? 'decoder-onnx' : 'encoder-onnx';
      const base = { info: manifest.encoder, role, onnx: fileOf(role), tokenizer: fileOf('tokenizer') } as const;
      return { version: manifest.version, base, answerer, bytes: answerer.bytes + keptBytes };
    });
  const loaded = ({ version, base: { info, role, onnx, tokenizer } }: Model): Promise<Loaded> => {
    if (!onnx || !tokenizer) throw new Error(`the manifest of v${version} has no ${role} or no tokenizer`);
    return bases.get(`${onnx.sha256} ${tokenizer.sha256}`, async () => {
      const parts = {
        onnxPath: await store.file(onnx),
        tokenizer: await store.bytes(tokenizer),
        bytes: Math.round(onnx.bytes * graphMemoryFactor),
        threads,
        maxWaiting,
      };
      if (role === 'decoder-onnx') return { bytes: parts.bytes, decoder: await loadDecoder(parts) };
      const encoder = await loadEncoder({ ...parts, prefix: info.prefix, dim: info.dim, precision, ...(onPass ? { onPass } : {}) });
      return { bytes: parts.bytes, encoder };
    });
  };
  const encoder = async (served: Model): Promise<Encoder> => {
    const found = await loaded(served);
    if (!('encoder' in found)) throw new Error(`v${served.version} starts from no encoder`);
    return found.encoder;
  };
  const decoder = async (served: Model): Promise<Decoder> => {
    const found = await loaded(served);
    if (!('decoder' in found)) throw new Error(`v${served.version} starts from no causal language model`);
    return found.decoder;
  };
  /** The base model of a version as its answerer sees it. It is loaded when it is asked first: not every business model needs one. */
  const shared = (served: Model, tenantId: string): SharedEncoder => {
    const { dim, maxTokens } = served.base.info;
    return {
      dim,
      embed: async (texts) => (await encoder(served)).embed(texts, maxTokens, tenantId),
      embedTokens: async (texts) => (await encoder(served)).embedTokens(texts, maxTokens, tenantId),
      decoder: async () => (await decoder(served)).of(tenantId),
    };
  };
  return {
    predict: async (request) => {
      const served = await model(request);
      const outputs = await served.answerer.answer(request.inputs, shared(served, request.tenantId), { topK: request.topK ?? 1 });
      return { version: served.version, outputs };
    },
    warm: async (request) => {
      const served = await model(request);
      if (served.base.role === 'decoder-onnx') await decoder(served);
      else await shared(served, request.tenantId).embed(['warm']);
    },
    latency: async ({ graph, version, ...key }) => {
      const current = version === null ? undefined : (await model({ ...key, version })).base.onnx;
      const files = [graph, ...(current && current.sha256 !== graph.sha256 ? [current] : [])];
      const graphs: Awaited<ReturnType<typeof openGraph>>[] = [];
      try {
        // One thread: several would count what they wait for each other.
        for (const file of files) graphs.push(await openGraph(await store.file(file), precision, 1));
        const [candidateMs = 0, currentMs = candidateMs] = await passCpuMs(graphs);
        return { tokens: timedTokens, candidateMs, currentMs: current ? currentMs : null };
      } finally {
        for (const opened of graphs) await opened.release();
      }
    },
    drop: (request) => models.drop(keyOf(request)),
    loadedBytes: () => models.bytes + bases.bytes,
  };
}
