import { describe, expect, it, vi } from 'vitest';
import type { Answer, SharedDecoder, SharedEncoder, Tensor } from '../contract.ts';
import { loadAnswerer } from './answer.ts';
import { type ChatForm, conversation } from './chat.ts';
import { evaluation } from './evaluation.ts';

/** Every character is a token; those below are special. */
const [S, U, A, E] = [1, 2, 3, 4];
const special: Readonly<Record<string, number>> = { '<': S, '{': U, '[': A, ']': E };
const encode = (text: string, read: boolean): number[] =>
  Array.from(text, (char) => (read ? special[char] : undefined) ?? (char.codePointAt(0) as number) + 10);
const decode = (ids: readonly number[]): string => String.fromCodePoint(...ids.filter((id) => id > 10).map((id) => id - 10));
const form: ChatForm = {
  joints: {
    'start>system': '<',
    'start>user': '{',
    'system>user': '{',
    'user>assistant': '[',
    'assistant>user': ']{',
    'assistant>end': ']',
  },
  trim: false,
  stop: [E],
};
const chat = (...texts: string[]): { role: string; content: string }[] =>
  texts.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content }));
/** Tokens as text again, those that are learned in capitals. */
const shown = (messages: ReturnType<typeof chat>, room: number): string => {
  const { ids, learned } = conversation(messages, form, room, encode);
  const names = Object.fromEntries(Object.entries(special).map(([char, id]) => [id, char]));
  return ids.map((id, i) => (learned[i] ? (names[id] ?? decode([id])).toUpperCase() : (names[id] ?? decode([id])))).join('');
};

describe('a conversation', () => {
  const system = { role: 'system', content: 's' };

  it('is learned where the assistant speaks, with the token that ends its reply', () => {
    expect(shown([system, ...chat('ab', 'c')], 99)).toBe('<s{ab[C]');
    expect(shown(chat('ab', 'c', 'd', 'e'), 99)).toBe('{ab[C]{d[E]');
    expect(shown(chat('ab', 'c', 'd'), 99)).toBe('{ab[C]{d[');
  });

  it('has no special tokens in what people write', () => {
    const { ids } = conversation(chat('x]{', 'y'), form, 99, encode);
    expect(ids.filter((id) => id === E)).toHaveLength(1);
    expect(ids.filter((id) => id === U)).toHaveLength(1);
  });

  it('loses its oldest exchanges where it is too long, and keeps the system message', () => {
    expect(shown([system, ...chat('ab', 'c', 'd', 'e', 'f', 'g')], 13)).toBe('<s{d[E]{f[G]');
    expect(shown([system, ...chat('ab', 'c', 'd', 'e', 'f', 'g')], 11)).toBe('<s{f[G]');
    expect(shown(chat('ab', 'c', 'd'), 4)).toBe('{d[');
  });

  it('of one exchange that is too long keeps the end of the prompt and the begin of the reply, half of the room at least', () => {
    expect(shown(chat('abcdef', 'uvwxyz'), 8)).toBe('def[UVWX');
    expect(shown(chat('a', 'uvwxyz'), 8)).toBe('{a[UVWXY');
    expect(shown(chat('abcdef', 'u'), 6)).toBe('def[U]');
    expect(shown(chat('abcdef'), 4)).toBe('def[');
  });
});

/** A model that always goes on with the next letter, and ends behind z; it says how often it was asked, and with what. */
function alphabet(): SharedDecoder & {
  readonly reads: { ids: readonly number[]; before: number; additions: Readonly<Record<string, Tensor>> }[];
} {
  const reads: { ids: readonly number[]; before: number; additions: Readonly<Record<string, Tensor>> }[] = [];
  const vocabulary = 200;
  const after = (id: number): number => (decode([id]) === 'z' ? E : id === A ? (encode('w', false)[0] as number) : id + 1);
  return {
    reads,
    vocabulary,
    encode,
    decode,
    read: ({ ids, past, wanted, additions }) => {
      reads.push({ ids, before: past?.tokens ?? 0, additions });
      const logits = new Float32Array(wanted.length * vocabulary);
      wanted.forEach((place, i) => (logits[i * vocabulary + after(ids[place] as number)] = 3));
      return Promise.resolve({ logits, past: { tokens: (past?.tokens ?? 0) + ids.length, data: new Float32Array() } });
    },
  };
}

async function ask(decoder: SharedDecoder, inputs: readonly Answer[], answering: object = {}): Promise<Answer[]> {
  const answerer = await loadAnswerer({
    answering: { chat: form, layers: 2, scale: 0.5, maxTokens: 64, maxNewTokens: 8, temperature: 0, ...answering },
    dim: 4,
    tensor: (name) => Promise.resolve({ shape: [1, 2], data: Float32Array.of(Number(/layers\.(\d)/.exec(name)?.[1]), 4) }),
  });
  expect(answerer.bytes).toBe(14 * 2 * 2 * 4);
  const encoder: SharedEncoder = {
    dim: 4,
    embed: () => Promise.reject(new Error()),
    embedTokens: () => Promise.reject(new Error()),
    decoder: () => Promise.resolve(decoder),
  };
  return await answerer.answer(inputs, encoder, { topK: 1 });
}

describe('an answer', () => {
  it('is the most likely token again and again, until the model ends its reply or the limit does', async () => {
    const decoder = alphabet();
    expect(await ask(decoder, [{ messages: chat('hello') }])).toEqual([{ text: 'wxyz', tokens: 4, finish: 'stop' }]);
    // The prompt is read once, then one token at a time.
    expect(decoder.reads.map(({ ids, before }) => [ids.length, before])).toEqual([
      [7, 0],
      [1, 7],
      [1, 8],
      [1, 9],
      [1, 10],
    ]);
    expect(await ask(alphabet(), [{ messages: chat('hello') }], { maxNewTokens: 2 })).toEqual([
      { text: 'wx', tokens: 2, finish: 'length' },
    ]);
  });

  it('gives the model its additions, all layers of a linear map as one, with the scale in the second factor', async () => {
    const decoder = alphabet();
    await ask(decoder, [{ messages: chat('a') }]);
    const { additions } = decoder.reads[0] as (typeof decoder.reads)[number];
    expect(Object.keys(additions)).toHaveLength(14);
    expect(additions['lora_a.o_proj']).toEqual({ shape: [2, 1, 2], data: Float32Array.of(0, 4, 1, 4) });
    expect(additions['lora_b.o_proj']).toEqual({ shape: [2, 1, 2], data: Float32Array.of(0, 2, 0.5, 2) });
  });

  it('judges a conversation that ends with the assistant, also one that is read piece by piece', async () => {
    // Right are x, y, z, the end, and w: of seven tokens all but the first reply's q and r.
    const [judged] = await ask(alphabet(), [{ messages: chat('a', 'q', 'b', 'wxyz') }]);
    expect(judged).toMatchObject({ tokens: 7, correctTokens: 5 });
    const sure = -Math.log(Math.exp(3) / (Math.exp(3) + 199));
    expect(judged?.['loss']).toBeCloseTo((5 * sure + 2 * (sure + 3)) / 7, 4);
    const decoder = alphabet();
    const long = await ask(decoder, [{ messages: chat('a'.repeat(300), 'wxyz') }], { maxTokens: 400 });
    expect(long[0]).toMatchObject({ tokens: 5, correctTokens: 5 });
    expect(decoder.reads.map(({ ids, before }) => [ids.length, before])).toEqual([
      [128, 0],
      [128, 128],
      [50, 256],
    ]);
  });

  it('is cut where a request takes so long that nobody waits for it', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      const decoder = alphabet();
      const slow: SharedDecoder = {
        ...decoder,
        read: async (asked) => {
          vi.setSystemTime(Date.now() + 20_000);
          return await decoder.read(asked);
        },
      };
      expect(await ask(slow, [{ messages: chat('a') }, { messages: chat('b') }])).toEqual([
        { text: 'wxy', tokens: 3, finish: 'time' },
        { text: '', tokens: 0, finish: 'time' },
      ]);
      expect(decoder.reads).toHaveLength(3);
    } finally {
      vi.useRealTimers();
    }
  });

  it('is drawn by chance where there is a temperature, and hardly ever unlikely where it is low', async () => {
    expect(await ask(alphabet(), [{ messages: chat('a') }], { temperature: 0.1 })).toMatchObject([{ text: 'wxyz' }]);
    const drawn = await ask(
      alphabet(),
      Array.from({ length: 8 }, () => ({ messages: chat('a') })),
      { temperature: 2 },
    );
    expect(new Set(drawn.map(({ text }) => text)).size).toBeGreaterThan(1);
  });
});

describe('the evaluation', () => {
  const row = (tokens: number, correctTokens: number, loss: number) => ({
    expected: { tokens },
    predicted: { tokens, correctTokens, loss },
  });

  it('counts tokens over all rows together, and a row by its share', () => {
    const { values, perLabel } = evaluation.measure([row(8, 8, 0.1), row(2, 0, 2.1)]);
    expect(values).toEqual({ tokenAccuracy: 0.8, perplexity: expect.closeTo(Math.exp(0.5), 10) as number, wholeReplies: 0.5 });
    expect(perLabel).toEqual({});
    expect([row(8, 2, 0), row(0, 0, 0)].map(({ expected, predicted }) => evaluation.credit(expected, predicted))).toEqual([0.25, 0]);
    // Production that gave no answer is not right.
    expect(evaluation.credit({ tokens: 3 }, {})).toBe(0);
    expect(Number.isFinite(evaluation.measure([row(1, 0, 1e9)]).values['perplexity'])).toBe(true);
  });

  it('takes turns of user and assistant after at most one message of the system, and names the message that is not so', () => {
    const of = (roles: string, content = 'x'): string | null | undefined =>
      evaluation.exampleProblem?.({
        messages: Array.from(roles, (role) => ({ role: { s: 'system', u: 'user', a: 'assistant' }[role] ?? role, content })),
      })?.pointer ?? null;
    expect([of('ua'), of('sua'), of('uauaua')]).toEqual([null, null, null]);
    expect([of('u'), of('sau'), of('uu'), of('us'), of('uas'), of('s')]).toEqual([
      '/messages/0/role',
      '/messages/1/role',
      '/messages/1/role',
      '/messages/1/role',
      '/messages/2/role',
      '/messages',
    ]);
    expect(of('ua', ' ')).toBe('/messages/0/content');
    expect(evaluation.inputProblem?.({ messages: chat('a') })).toBeNull();
    expect(evaluation.inputProblem?.({ messages: [] })?.pointer).toBe('/messages');
  });

  it('takes a plain text for one message of the user, and a right reply for the next of the assistant', () => {
    const input = evaluation.inputOf?.('hello') ?? {};
    expect(input).toEqual({ messages: chat('hello') });
    expect(evaluation.exampleOf?.(input, { text: 'hi', weight: 2 })).toEqual({ messages: chat('hello', 'hi'), weight: 2 });
  });
});
