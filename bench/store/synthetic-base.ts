import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256Hex } from '../../platform/hash.ts';
import { bertConfigSchema, bertTensors } from '../../store/bert-config.ts';
import { causalConfigSchema, causalTensors } from '../../store/causal-config.ts';
import { type InstalledEncoder, type BaseKind, filesOfKind, readEncoder, sha256OfFile } from '../../store/encoder-folder.ts';
import { type Shaped, writeModel } from './synthetic-model.ts';

export type BaseShape = { readonly kind: BaseKind; readonly hidden: number; readonly inner: number; readonly layers: number };

const vocabulary = 32_000;
const rowsPerHead = 64;
/** What LoRA adds by itself where nobody says otherwise (catalog/causal-lm-sft), in 32 bits as the trainer leaves it. */
const rank = 8;

const configOf = ({ kind, hidden, inner, layers }: BaseShape): object => ({
  model_type: kind === 'encoder' ? 'bert' : 'llama',
  vocab_size: vocabulary,
  hidden_size: hidden,
  intermediate_size: inner,
  num_hidden_layers: layers,
  num_attention_heads: hidden / rowsPerHead,
  max_position_embeddings: 512,
  type_vocab_size: 2,
  tie_word_embeddings: true,
});

function tensorsOf(shape: BaseShape): Shaped[] {
  const config = configOf(shape);
  const wanted = shape.kind === 'encoder' ? bertTensors(bertConfigSchema.parse(config)) : causalTensors(causalConfigSchema.parse(config));
  return wanted.map(([name, dimensions]) => ({
    name,
    dtype: 'BF16',
    shape: dimensions,
    bytes: dimensions.reduce((product, n) => product * n, 2),
  }));
}

/** As many layers as make up at least so many bytes. */
export function layersFor(shape: Omit<BaseShape, 'layers'>, bytes: number): BaseShape {
  for (let layers = 1; ; layers++)
    if (tensorsOf({ ...shape, layers }).reduce((sum, tensor) => sum + tensor.bytes, 0) >= bytes) return { ...shape, layers };
}

/** A base model's folder with random weights and graphs that nobody runs; its weights are what counts here. */
export async function writeBase(modelsDir: string, name: string, shape: BaseShape): Promise<{ base: InstalledEncoder; bytes: number }> {
  const { kind } = shape;
  const folder = join(modelsDir, name);
  await mkdir(folder, { recursive: true });
  const bytes = await writeModel(join(folder, 'model.safetensors'), tensorsOf(shape));
  const contents: Readonly<Record<string, string>> = {
    'config.json': JSON.stringify(configOf(shape)),
    'tokenizer.json': JSON.stringify({ model: { type: kind === 'encoder' ? 'WordPiece' : 'BPE' } }),
    'encoder.onnx': `graph of ${name}`,
    'decoder.onnx': `graph of ${name}`,
  };
  const sha256: Record<string, string> = { 'model.safetensors': await sha256OfFile(join(folder, 'model.safetensors')) };
  for (const file of filesOfKind[kind].filter((one) => one !== 'model.safetensors')) {
    await writeFile(join(folder, file), contents[file] ?? '');
    sha256[file] = sha256Hex(contents[file] ?? '');
  }
  const info = { kind, name, dim: shape.hidden, maxTokens: 512, prefix: '', languages: ['en'], sha256 };
  await writeFile(join(folder, 'modelwright.json'), JSON.stringify(info));
  return { base: await readEncoder(folder), bytes };
}

const float = (name: string, shape: readonly number[]): Shaped => ({
  name,
  dtype: 'F32',
  shape,
  bytes: shape.reduce((product, n) => product * n, 4),
});

/** A head of so many labels. */
export const headOf = ({ hidden }: BaseShape, labels: number): Shaped[] => [
  float('classifier.weight', [labels, hidden]),
  float('classifier.bias', [labels]),
];

/** What LoRA trains: two small matrices beside every linear map. */
export function loraOf({ hidden, inner, layers }: BaseShape): Shaped[] {
  const square = ['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((name) => [`self_attn.${name}`, hidden, hidden] as const);
  const maps = [...square, ['mlp.gate_proj', inner, hidden], ['mlp.up_proj', inner, hidden], ['mlp.down_proj', hidden, inner]] as const;
  return Array.from({ length: layers }, (_, i) => `base_model.model.model.layers.${i}`).flatMap((layer) =>
    maps.flatMap(([name, rows, columns]) => [
      float(`${layer}.${name}.lora_A.weight`, [rank, columns]),
      float(`${layer}.${name}.lora_B.weight`, [rows, rank]),
    ]),
  );
}
