import { nowMs, randomBytes } from '../../platform/clock.ts';
import { numberOf } from '../answering.ts';
import type { Answer, LoadAnswerer, ModelParts, Past, SharedDecoder, Tensor } from '../contract.ts';
import { type ChatForm, conversation, messagesOf } from './chat.ts';

/** Tokens that are read at once: their logits are what takes memory. */
const pieceTokens = 128;
/** A request writes this long: who asked waits a minute, and nobody reads what is written later. */
const writingMs = 50_000;
const linearMaps = {
  q_proj: 'self_attn',
  k_proj: 'self_attn',
  v_proj: 'self_attn',
  o_proj: 'self_attn',
  gate_proj: 'mlp',
  up_proj: 'mlp',
  down_proj: 'mlp',
} as const;

type Additions = Readonly<Record<string, Tensor>>;

/**
 * An input that ends with a user's message is replied to: `{text, tokens, finish}`, where `finish` is `stop` or, where the reply was cut, `length` or `time`.
 * One that ends with the assistant's is judged, as the gate does it with production: `{tokens, correctTokens, loss}` of the assistant's tokens.
 * answering.json: the form of conversations, the scale of the additions, and how replies are written.
 */
export const loadAnswerer: LoadAnswerer = async (parts) => {
  const form = parts.answering['chat'] as ChatForm | undefined;
  if (!form) throw new Error('answering.json has no form of conversations');
  const setting = (name: string, otherwise: number): number => numberOf(parts, name) ?? otherwise;
  const additions = await additionsOf(parts, setting('layers', 0), setting('scale', 1));
  const [maxTokens, maxNewTokens, temperature] = [setting('maxTokens', 512), setting('maxNewTokens', 128), setting('temperature', 0)];
  return {
    bytes: Object.values(additions).reduce((sum, { data }) => sum + data.byteLength, 0),
    answer: async (inputs, encoder) => {
      if (!encoder.decoder) throw new Error('this version starts from no causal language model');
      const decoder = await encoder.decoder();
      const answers: Answer[] = [];
      const untilMs = nowMs() + writingMs;
      for (const input of inputs) {
        const messages = messagesOf(input);
        const replied = messages.at(-1)?.role === 'assistant';
        const room = replied ? maxTokens : maxTokens - Math.min(maxNewTokens, Math.floor(maxTokens / 2));
        const { ids, learned } = conversation(messages, form, room, decoder.encode);
        answers.push(
          replied
            ? await judged(decoder, additions, ids, learned)
            : await reply(decoder, additions, ids, {
                stop: form.stop,
                limit: Math.min(maxNewTokens, maxTokens - ids.length),
                temperature,
                untilMs,
              }),
        );
      }
      return answers;
    },
  };
};

/** The tensors of all layers of a linear map as one, which is how the graph takes them; the scale goes into the second factor. */
async function additionsOf(parts: ModelParts, layers: number, scale: number): Promise<Additions> {
  const found: Record<string, Tensor> = {};
  for (const [name, part] of Object.entries(linearMaps))
    for (const side of ['a', 'b'] as const) {
      const names = Array.from(
        { length: layers },
        (_, i) => `base_model.model.model.layers.${i}.${part}.${name}.lora_${side.toUpperCase()}.weight`,
      );
      const tensors = await Promise.all(names.map((one) => parts.tensor(one)));
      const size = tensors[0]?.data.length ?? 0;
      const data = new Float32Array(size * layers);
      tensors.forEach((one, i) => data.set(side === 'a' ? one.data : one.data.map((value) => value * scale), i * size));
      found[`lora_${side}.${name}`] = { shape: [layers, ...(tensors[0]?.shape ?? [])], data };
    }
  return found;
}

const largest = (logits: Float32Array): number => {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] as number) > (logits[best] as number)) best = i;
  return best;
};

/** How the model, given all that stands before each of the assistant's tokens, would have gone on. */
async function judged(decoder: SharedDecoder, additions: Additions, ids: readonly number[], learned: readonly boolean[]): Promise<Answer> {
  const { vocabulary } = decoder;
  let [past, tokens, correctTokens, loss]: [Past | null, number, number, number] = [null, 0, 0, 0];
  // Nothing follows the last token.
  for (let begin = 0; begin < ids.length - 1; begin += pieceTokens) {
    const piece = ids.slice(begin, Math.min(begin + pieceTokens, ids.length - 1));
    const wanted = piece.flatMap((_, i) => (learned[begin + i + 1] ? [i] : []));
    const read: Awaited<ReturnType<SharedDecoder['read']>> = await decoder.read({
      ids: piece,
      past,
      wanted: wanted.length > 0 ? wanted : [piece.length - 1],
      additions,
    });
    past = read.past;
    wanted.forEach((place, i) => {
      const logits = read.logits.subarray(i * vocabulary, (i + 1) * vocabulary);
      const right = ids[begin + place + 1] as number;
      const best = largest(logits);
      const top = logits[best] as number;
      const sum = logits.reduce((total, logit) => total + Math.exp(logit - top), 0);
      tokens += 1;
      correctTokens += best === right ? 1 : 0;
      loss += top + Math.log(sum) - (logits[right] as number);
    });
  }
  return { tokens, correctTokens, loss: tokens === 0 ? 0 : Number((loss / tokens).toFixed(6)) };
}

/** The most likely token again and again, or one drawn by chance where there is a temperature. */
async function reply(
  decoder: SharedDecoder,
  additions: Additions,
  prompt: readonly number[],
  {
    stop,
    limit,
    temperature,
    untilMs,
  }: { readonly stop: readonly number[]; readonly limit: number; readonly temperature: number; readonly untilMs: number },
): Promise<Answer> {
  let past: Past | null = null;
  let next: readonly number[] = prompt;
  const written: number[] = [];
  const said = (finish: string): Answer => ({ text: decoder.decode(written), tokens: written.length, finish });
  while (written.length < limit) {
    if (nowMs() > untilMs) return said('time');
    let logits: Float32Array = new Float32Array();
    for (let begin = 0; begin < next.length; begin += pieceTokens) {
      const piece = next.slice(begin, begin + pieceTokens);
      const read: Awaited<ReturnType<SharedDecoder['read']>> = await decoder.read({
        ids: piece,
        past,
        wanted: [piece.length - 1],
        additions,
      });
      past = read.past;
      logits = read.logits;
    }
    const token = temperature > 0 ? drawn(logits, temperature) : largest(logits);
    if (stop.includes(token)) return said('stop');
    written.push(token);
    next = [token];
  }
  return said('length');
}

function drawn(logits: Float32Array, temperature: number): number {
  const top = logits[largest(logits)] as number;
  const weights = Float64Array.from(logits, (logit) => Math.exp((logit - top) / temperature));
  let left = (randomBytes(4).readUInt32BE() / 2 ** 32) * weights.reduce((sum, weight) => sum + weight, 0);
  const found = weights.findIndex((weight) => (left -= weight) < 0);
  return found < 0 ? largest(logits) : found;
}
