import { z } from 'zod';

/** config.json of a Hugging Face folder, as far as the trainer's own BERT needs it. */
export const bertConfigSchema = z.looseObject({
  model_type: z.string(),
  architectures: z.array(z.string()).optional(),
  hidden_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  intermediate_size: z.int().positive(),
  vocab_size: z.int().positive(),
  max_position_embeddings: z.int().positive(),
  type_vocab_size: z.int().positive(),
  hidden_act: z.string().default('gelu'),
  position_embedding_type: z.string().default('absolute'),
});
export type BertConfig = z.infer<typeof bertConfigSchema>;

/** Why the trainer cannot compute this encoder; null when it can. */
export function bertProblem(config: BertConfig): string | null {
  if (config.model_type !== 'bert') return `has the architecture ${config.model_type}, which is not supported`;
  if (config.architectures && !config.architectures.some((name) => /^Bert(Model|For\w+)$/.test(name)))
    return `has the architecture ${config.architectures.join(', ')}, which is not supported`;
  if (config.hidden_act !== 'gelu') return `has the activation ${config.hidden_act}, only gelu is supported`;
  if (config.position_embedding_type !== 'absolute')
    return `has ${config.position_embedding_type} positions, only absolute ones are supported`;
  if (config.hidden_size % config.num_attention_heads !== 0)
    return `has ${config.hidden_size} dimensions, which ${config.num_attention_heads} heads cannot share`;
  return null;
}

/** Tensors that the encoder reads, with their shapes. */
export function bertTensors(config: BertConfig): (readonly [string, readonly number[]])[] {
  const { hidden_size: hidden, intermediate_size: inner } = config;
  const norm = (name: string): [string, number[]][] => [
    [`${name}.weight`, [hidden]],
    [`${name}.bias`, [hidden]],
  ];
  const linear = (name: string, rows: number, columns: number): [string, number[]][] => [
    [`${name}.weight`, [rows, columns]],
    [`${name}.bias`, [rows]],
  ];
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i) => `encoder.layer.${i}`);
  return [
    ['embeddings.word_embeddings.weight', [config.vocab_size, hidden]],
    ['embeddings.position_embeddings.weight', [config.max_position_embeddings, hidden]],
    ['embeddings.token_type_embeddings.weight', [config.type_vocab_size, hidden]],
    ...norm('embeddings.LayerNorm'),
    ...layers.flatMap((layer) => [
      ...['query', 'key', 'value'].flatMap((name) => linear(`${layer}.attention.self.${name}`, hidden, hidden)),
      ...linear(`${layer}.attention.output.dense`, hidden, hidden),
      ...norm(`${layer}.attention.output.LayerNorm`),
      ...linear(`${layer}.intermediate.dense`, inner, hidden),
      ...linear(`${layer}.output.dense`, hidden, inner),
      ...norm(`${layer}.output.LayerNorm`),
    ]),
  ];
}
