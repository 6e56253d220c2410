import type { Answer, EvaluatedRow, Evaluation } from '../contract.ts';
import { type Message, messagesOf } from './chat.ts';

const countOf = (answer: Answer, name: string): number => {
  const value = answer[name];
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : 0;
};
/** A loss so high that its exponential would be no figure any more. */
const highestLoss = 100;

/** Whose turn it is: user and assistant in turn, after at most one message of the system. */
function turnProblem(messages: readonly Message[]): { pointer: string; message: string } | null {
  const first = messages[0]?.role === 'system' ? 1 : 0;
  for (const [i, { role, content }] of messages.entries()) {
    const wanted = i < first ? 'system' : (i - first) % 2 === 0 ? 'user' : 'assistant';
    if (role !== wanted)
      return { pointer: `/messages/${i}/role`, message: `must be ${wanted}: user and assistant take turns, system comes first` };
    if (content.trim() === '') return { pointer: `/messages/${i}/content`, message: 'must not be blank' };
  }
  return messages.length > first ? null : { pointer: '/messages', message: 'must hold a message of the user' };
}

/**
 * A row is as right as the share of the assistant's tokens that the model would have chosen itself, given all that stands before each.
 * Rows are told by counts: `expected` is `{tokens}`, `predicted` is `{tokens, correctTokens, loss}`. A reply of the model is never compared with a text.
 */
export const evaluation: Evaluation = {
  credit: (_expected, predicted) => {
    const tokens = countOf(predicted, 'tokens');
    return tokens === 0 ? 0 : Math.min(1, countOf(predicted, 'correctTokens') / tokens);
  },
  measure: (rows) => {
    const sum = (of: (row: EvaluatedRow) => number): number => rows.reduce((total, row) => total + of(row), 0);
    const tokens = sum(({ predicted }) => countOf(predicted, 'tokens'));
    const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);
    const loss = share(
      sum(({ predicted }) => countOf(predicted, 'loss') * countOf(predicted, 'tokens')),
      tokens,
    );
    return {
      values: {
        tokenAccuracy: share(
          sum(({ predicted }) => countOf(predicted, 'correctTokens')),
          tokens,
        ),
        perplexity: Math.exp(Math.min(loss, highestLoss)),
        wholeReplies: share(rows.filter(({ expected, predicted }) => evaluation.credit(expected, predicted) === 1).length, rows.length),
      },
      perLabel: {},
    };
  },
  answerKey: (predicted) => `${countOf(predicted, 'correctTokens')} of ${countOf(predicted, 'tokens')}`,
  exampleProblem: (example) => {
    const messages = messagesOf(example);
    const problem = turnProblem(messages);
    if (problem || messages.at(-1)?.role === 'assistant') return problem;
    return { pointer: `/messages/${messages.length - 1}/role`, message: 'must be assistant: the last message is what is to be learned' };
  },
  inputProblem: (input) => turnProblem(messagesOf(input)),
  inputOf: (text) => ({ messages: [{ role: 'user', content: text }] }),
  exampleOf: (input, { text = '', ...others }) => ({
    ...others,
    messages: [...messagesOf(input), { role: 'assistant', content: text }],
  }),
};
