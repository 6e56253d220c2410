import { z } from 'zod';

/** Architectures that the trainer's own code computes. */
export const causalTypes = ['llama', 'mistral', 'qwen2', 'qwen3'] as const;

const ropeSchema = z.looseObject({ rope_type: z.string().optional(), type: z.string().optional() }).nullish();

/** config.json of a Hugging Face folder, as far as the trainer's own causal language models need it. */
export const causalConfigSchema = z.looseObject({
  model_type: z.enum(causalTypes),
  hidden_size: z.int().positive(),
  intermediate_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  num_key_value_heads: z.int().positive().nullish(),
  head_dim: z.int().positive().nullish(),
  vocab_size: z.int().positive(),
  max_position_embeddings: z.int().positive(),
  hidden_act: z.string().default('silu'),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(false),
  sliding_window: z.int().positive().nullish(),
  use_sliding_window: z.boolean().default(false),
  rope_scaling: ropeSchema,
  rope_parameters: ropeSchema,
});
export type CausalConfig = z.infer<typeof causalConfigSchema>;

const headsOf = (config: CausalConfig): { readonly keys: number; readonly size: number } => ({
  keys: config.num_key_value_heads ?? config.num_attention_heads,
  size: config.head_dim ?? Math.floor(config.hidden_size / config.num_attention_heads),
});

/** Why the trainer cannot compute this model; null when it can. */
export function causalProblem(config: CausalConfig): string | null {
  const { keys, size } = headsOf(config);
  if (config.hidden_act !== 'silu') return `has the activation ${config.hidden_act}, only silu is supported`;
  if (config.num_attention_heads % keys !== 0 || size % 2 !== 0)
    return `has ${config.num_attention_heads} heads over ${keys} heads of keys, of ${size} numbers each, which cannot be shared evenly`;
  const rope = config.rope_parameters ?? config.rope_scaling;
  const kind = rope?.rope_type ?? rope?.type ?? 'default';
  return ['default', 'linear', 'llama3'].includes(kind)
    ? null
    : `has ${kind} positions, only default, linear and llama3 ones are supported`;
}

/** Tokens that it reads at most: within its window, a sliding one sees everything. */
export function causalPositions(config: CausalConfig): number {
  const slides = config.model_type === 'mistral' || config.use_sliding_window;
  return Math.min(config.max_position_embeddings, (slides ? config.sliding_window : null) ?? Infinity);
}

/** Tensors that the model reads, with their shapes. */
export function causalTensors(config: CausalConfig): (readonly [string, readonly number[]])[] {
  const { hidden_size: hidden, intermediate_size: inner, model_type: kind } = config;
  const { keys, size } = headsOf(config);
  const attention = kind === 'qwen2' || config.attention_bias;
  const linear = (name: string, rows: number, columns: number, bias: boolean): [string, number[]][] => [
    [`${name}.weight`, [rows, columns]],
    ...(bias ? [[`${name}.bias`, [rows]] satisfies [string, number[]]] : []),
  ];
  const queries = config.num_attention_heads * size;
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i) => `model.layers.${i}`);
  return [
    ['model.embed_tokens.weight', [config.vocab_size, hidden]],
    ['model.norm.weight', [hidden]],
    ...(config.tie_word_embeddings ? [] : [['lm_head.weight', [config.vocab_size, hidden]] satisfies [string, number[]]]),
    ...layers.flatMap((layer): [string, number[]][] => [
      [`${layer}.input_layernorm.weight`, [hidden]],
      [`${layer}.post_attention_layernorm.weight`, [hidden]],
      ...(kind === 'qwen3' ? ['q_norm', 'k_norm'].map((name): [string, number[]] => [`${layer}.self_attn.${name}.weight`, [size]]) : []),
      ...linear(`${layer}.self_attn.q_proj`, queries, hidden, attention),
      ...linear(`${layer}.self_attn.k_proj`, keys * size, hidden, attention),
      ...linear(`${layer}.self_attn.v_proj`, keys * size, hidden, attention),
      ...linear(`${layer}.self_attn.o_proj`, hidden, queries, kind !== 'qwen2' && config.attention_bias),
      ...linear(`${layer}.mlp.gate_proj`, inner, hidden, config.mlp_bias),
      ...linear(`${layer}.mlp.up_proj`, inner, hidden, config.mlp_bias),
      ...linear(`${layer}.mlp.down_proj`, hidden, inner, config.mlp_bias),
    ]),
  ];
}
