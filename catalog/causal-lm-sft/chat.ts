import type { Answer } from '../contract.ts';

export type Message = { readonly role: string; readonly content: string };

/** What stands between messages, as the trainer read it off the base model's chat template: modelwright_trainer/chat.py. */
export type ChatForm = {
  readonly joints: Readonly<Record<string, string>>;
  /** White space around a message is no part of it. */
  readonly trim: boolean;
  /** Tokens that end a reply; the first one is learned behind each. */
  readonly stop: readonly number[];
};

type Encode = (text: string, special: boolean) => readonly number[];
type Part = { readonly ids: readonly number[]; readonly learned: boolean };
type Exchange = { readonly user: readonly number[]; readonly reply: readonly number[] | null };
type Conversation = { readonly ids: readonly number[]; readonly learned: readonly boolean[] };

/** The messages of an example or an input. */
export const messagesOf = ({ messages }: Answer): readonly Message[] => (Array.isArray(messages) ? (messages as readonly Message[]) : []);

/** A conversation as the trainer's tokens, cut to `maxTokens` by the same rules; behind a user's last message, up to where the reply begins. */
export function conversation(messages: readonly Message[], form: ChatForm, maxTokens: number, encode: Encode): Conversation {
  const joint = (name: string): readonly number[] => encode(form.joints[name] ?? '', true);
  const contents = messages.map(({ content }) => encode(form.trim ? content.trim() : content, false));
  const system = messages[0]?.role === 'system' ? contents[0] : undefined;
  const turns = system ? contents.slice(1) : contents;
  let exchanges = turns.flatMap((user, i): Exchange[] => (i % 2 === 0 ? [{ user, reply: turns[i + 1] ?? null }] : []));
  const opening = system ? [...joint('start>system'), ...system, ...joint('system>user')] : joint('start>user');
  const parts = (): Part[] =>
    exchanges.flatMap(({ user, reply }, i): Part[] => [
      // The token that ends a reply is learned with it, the rest of the joint belongs to the next prompt.
      { ids: [...(i === 0 ? opening : joint('assistant>user').slice(1)), ...user, ...joint('user>assistant')], learned: false },
      ...(reply ? [{ ids: [...reply, form.stop[0] as number], learned: true }] : []),
    ]);
  const lengthOf = (some: readonly Part[]): number => some.reduce((sum, { ids }) => sum + ids.length, 0);
  let found = parts();
  while (exchanges.length > 1 && lengthOf(found) > maxTokens) {
    exchanges = exchanges.slice(1);
    found = parts();
  }
  if (lengthOf(found) > maxTokens) {
    const [prompt, given] = [found[0]?.ids ?? [], found[1]];
    const reply = given ? given.ids.slice(0, Math.max(maxTokens - prompt.length, Math.floor(maxTokens / 2))) : [];
    found = [
      { ids: prompt.slice(prompt.length - (maxTokens - reply.length)), learned: false },
      { ids: reply, learned: true },
    ];
  }
  return { ids: found.flatMap(({ ids }) => ids), learned: found.flatMap(({ ids, learned }) => ids.map(() => learned)) };
}
