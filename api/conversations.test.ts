import { describe, expect, it } from 'vitest';
import { type BusinessModel, loadCatalog } from '../catalog/catalog.ts';
import { exampleChecker } from './example-content.ts';
import { checkedInputs } from './predict-inputs.ts';
import { Problem } from './problems.ts';

const catalog = await loadCatalog();
const model = catalog.get('causal-lm-sft') as BusinessModel;
const talk = (...texts: string[]): { role: string; content: string }[] =>
  texts.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content }));

describe('conversations over the API', () => {
  it('are asked as messages, or as a plain text, which is one message of the user', () => {
    expect(checkedInputs(model, ['hello', { messages: talk('a', 'b', 'c') }])).toEqual([
      { messages: talk('hello') },
      { messages: talk('a', 'b', 'c') },
    ]);
    const other = catalog.get('text-scoring') as BusinessModel;
    expect(checkedInputs(other, ['hello'])).toEqual([{ text: 'hello' }]);
  });

  it('are refused where nobody could reply, with the message that is wrong and never its text', () => {
    const errorsOf = (input: unknown): unknown => {
      try {
        return checkedInputs(model, ['fine', input]);
      } catch (error) {
        return error instanceof Problem ? error.errors : error;
      }
    };
    expect(errorsOf({ messages: [...talk('a'), { role: 'user', content: 'confidential' }] })).toEqual([
      { pointer: '/inputs/1/messages/1/role', message: expect.stringContaining('must be assistant') as string },
    ]);
    expect(errorsOf({ messages: [] })).toMatchObject([{ pointer: '/inputs/1/messages' }]);
    expect(errorsOf({ messages: [{ role: 'tool', content: 'x' }] })).toMatchObject([{ pointer: '/inputs/1/messages/0/role' }]);
    expect(errorsOf('  ')).toMatchObject([{ pointer: '/inputs/1/messages/0/content' }]);
  });

  it('are examples of their own although they end with the same words', () => {
    const check = exampleChecker(model, 1_000);
    const idOf = (...texts: string[]): string | null => {
      const checked = check({ messages: talk(...texts) });
      return checked.ok ? checked.id : null;
    };
    expect(idOf('a', 'b', 'thanks', 'welcome')).not.toBe(idOf('c', 'd', 'thanks', 'welcome'));
    expect(idOf('a', 'b')).toBe(idOf('a', 'b'));
    expect(check({ messages: talk('only a question') })).toMatchObject({ ok: false, errors: [{ pointer: '/messages/0/role' }] });
    expect(check({ messages: talk('x'.repeat(1_001), 'b') })).toMatchObject({ ok: false, errors: [{ pointer: '/messages' }] });
  });
});
