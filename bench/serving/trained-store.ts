import { readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelManifest } from '../../core/model.ts';
import type { ModelStore } from '../../predictor/model-store.ts';
import { parseSafetensors } from '../../store/safetensors.ts';

/** What a training left in a folder, and the encoder that it started from. */
export type TrainedModel = {
  readonly folder: string;
  readonly encoderFolder: string;
  readonly labels: readonly string[];
  readonly maxTokens: number;
};

export const weightsOf = ({ folder }: TrainedModel): string => join(folder, 'staged.model.safetensors');
export const answeringOf = ({ folder }: TrainedModel): string => join(folder, 'staged.answering.json');

/** The same head as version 1 of whichever customization is asked, read from files: a store that costs nothing. */
export function trainedStore(trained: TrainedModel, businessModel: { readonly id: string; readonly version: string }): ModelStore {
  const { encoderFolder, labels, maxTokens } = trained;
  const info = JSON.parse(readFileSync(join(encoderFolder, 'modelwright.json'), 'utf8')) as { name: string; dim: number; prefix: string };
  const onnx = join(encoderFolder, 'encoder.onnx');
  const files: Readonly<Record<string, string>> = {
    weights: weightsOf(trained),
    answering: answeringOf(trained),
    tokenizer: join(encoderFolder, 'tokenizer.json'),
    onnx,
  };
  const tensors = [...parseSafetensors(readFileSync(weightsOf(trained))).tensors].map(
    ([name, { dtype, shape }]) => [name, { shard: 'weights', dtype, shape, bytes: 0 }] as const,
  );
  const scope = 'base';
  const manifest: Pick<ModelManifest, 'version' | 'businessModel' | 'labels' | 'encoder' | 'tensors' | 'shards' | 'files'> = {
    version: 1,
    businessModel,
    labels,
    encoder: { name: info.name, dim: info.dim, maxTokens, prefix: info.prefix },
    tensors: Object.fromEntries(tensors),
    shards: [{ sha256: 'weights', bytes: 0, key: '', scope }],
    files: [
      { path: 'answering.json', role: 'answering', sha256: 'answering', bytes: 0, key: '', scope },
      { path: 'tokenizer.json', role: 'tokenizer', sha256: 'tokenizer', bytes: 0, key: '', scope },
      { path: 'encoder.onnx', role: 'encoder-onnx', sha256: 'onnx', bytes: statSync(onnx).size, key: '', scope },
    ],
  };
  return {
    manifest: () => Promise.resolve(manifest as ModelManifest),
    bytes: ({ sha256 }) => readFile(files[sha256] ?? sha256),
    file: ({ sha256 }) => Promise.resolve(files[sha256] ?? sha256),
  };
}
