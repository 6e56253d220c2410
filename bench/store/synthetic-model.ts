import { randomFillSync } from 'node:crypto';
import { open } from 'node:fs/promises';
import { buildHeader } from '../../store/safetensors.ts';

/** Sizes of a small causal language model in BF16: 131 MB of word embeddings, and 103 MB a layer. */
const [vocabulary, hidden, inner] = [32_000, 2_048, 5_632];
const elementBytes = 2;
const layerShapes: readonly (readonly [string, readonly number[]])[] = [
  ['self_attn.q_proj.weight', [hidden, hidden]],
  ['self_attn.k_proj.weight', [hidden, hidden]],
  ['self_attn.v_proj.weight', [hidden, hidden]],
  ['self_attn.o_proj.weight', [hidden, hidden]],
  ['mlp.gate_proj.weight', [inner, hidden]],
  ['mlp.up_proj.weight', [inner, hidden]],
  ['mlp.down_proj.weight', [hidden, inner]],
  ['input_layernorm.weight', [hidden]],
  ['post_attention_layernorm.weight', [hidden]],
];

export type Shaped = { readonly name: string; readonly dtype: 'BF16' | 'F32'; readonly shape: readonly number[]; readonly bytes: number };

const shaped = (name: string, shape: readonly number[]): Shaped => ({
  name,
  dtype: 'BF16',
  shape,
  bytes: shape.reduce((product, n) => product * n, elementBytes),
});

/** Tensors of real names and shapes that make up at least so many bytes. */
export function realShapes(bytes: number): Shaped[] {
  const tensors = [shaped('model.embed_tokens.weight', [vocabulary, hidden])];
  const layer = (at: number): Shaped[] => layerShapes.map(([name, shape]) => shaped(`model.layers.${at}.${name}`, shape));
  const total = (): number => tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  for (let at = 0; total() < bytes; at++) tensors.push(...layer(at));
  return tensors;
}

/** Numbers that are all finite, in BF16 or F32: no exponent is full. */
function fillWithNumbers(part: Buffer): void {
  randomFillSync(part);
  for (let at = 1; at < part.byteLength; at += 2) part[at] = (part[at] ?? 0) & 0xbf;
}

/** The same as `writeModel`, in memory: what a training leaves. */
export function modelBytes(tensors: readonly Shaped[]): Buffer {
  const data = Buffer.alloc(tensors.reduce((sum, { bytes }) => sum + bytes, 0));
  fillWithNumbers(data);
  return Buffer.concat([buildHeader(tensors), data]);
}

/** Writes a safetensors file of random numbers: nothing in it can be packed or is stored already. Answers with its size. */
export async function writeModel(path: string, tensors: readonly Shaped[]): Promise<number> {
  const file = await open(path, 'w');
  try {
    const header = buildHeader(tensors);
    await file.writev([header]);
    const largest = Math.max(...tensors.map(({ bytes }) => bytes));
    const block = Buffer.alloc(largest);
    let written = header.byteLength;
    for (const { bytes } of tensors) {
      const part = block.subarray(0, bytes);
      fillWithNumbers(part);
      await file.writev([part]);
      written += bytes;
    }
    return written;
  } finally {
    await file.close();
  }
}
