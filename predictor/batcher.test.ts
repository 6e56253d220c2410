import { describe, expect, it } from 'vitest';
import { Batcher, passesOf } from './batcher.ts';
import { Overloaded } from './overloaded.ts';

/** Of the test's clock. */
const msPerPass = 2_000;

type Pass = { readonly texts: readonly string[]; readonly end: (error?: Error) => void };

/** An encoder of one token a character, whose passes end when the test says so. */
function slow(maxTokens = 100, maxWaiting = Infinity) {
  const passes: Pass[] = [];
  const prepared: string[] = [];
  let now = 0;
  const batcher = new Batcher<string, string, string>({
    maxTokens,
    maxWaiting,
    nowMs: () => now,
    roughly: (text) => text.length,
    prepare: (text) => {
      prepared.push(text);
      if (text === 'poison') throw new Error('no tokens');
      return text;
    },
    tokensOf: (text) => text.length,
    run: (texts) => {
      const { promise, resolve, reject } = Promise.withResolvers<string[]>();
      passes.push({ texts, end: (error) => (error ? reject(error) : resolve(texts.map((text) => text.toUpperCase()))) });
      return promise;
    },
  });
  const next = async (fault?: Error): Promise<readonly string[]> => {
    const pass = passes.shift();
    now += msPerPass;
    pass?.end(fault);
    for (let tick = 0; tick < 10; tick++) await Promise.resolve();
    return pass?.texts ?? [];
  };
  return { batcher, passes, prepared, next };
}

describe('requests for one encoder', () => {
  it('run at once when they come alone, and together when they come while another runs', async () => {
    const { batcher, passes, next } = slow();
    const first = batcher.ask('a', ['aa']);
    // In this very tick: nothing is waited for.
    expect(passes.map(({ texts }) => texts)).toEqual([['aa']]);
    const others = [batcher.ask('b', ['bb']), batcher.ask('c', ['cc', 'c']), batcher.ask('a', ['dd'])];
    expect(passes).toHaveLength(1);
    await next();
    expect(await first).toEqual(['AA']);
    expect(await next()).toHaveLength(4);
    expect(await Promise.all(others)).toEqual([['BB'], ['CC', 'C'], ['DD']]);
    expect(passes).toEqual([]);
  });

  it('of a thousand texts keep a single one of another tenant waiting for one batch, and are not prepared before their turn', async () => {
    const { batcher, prepared, next } = slow(40);
    void batcher.ask(
      'large',
      Array.from({ length: 1_000 }, () => 'long'),
    );
    const single = batcher.ask('small', ['hi']);
    let answer: string[] = [];
    void single.then((given) => (answer = given));
    expect((await next()).length).toBe(10);
    expect(answer).toEqual([]);
    await next();
    expect(answer).toEqual(['HI']);
    expect(prepared.length).toBeLessThan(40);
  });

  it('are answered in their own order, although short texts run first', async () => {
    const { batcher, passes, next } = slow(10_000);
    const texts = ['x'.repeat(300), 'y', 'z'.repeat(90), 'yy', ''];
    const answers = batcher.ask('a', texts);
    const asked: (readonly string[])[] = [];
    while (passes.length > 0) asked.push(await next());
    expect(await answers).toEqual(texts.map((text) => text.toUpperCase()));
    expect(asked.map((pass) => pass.map(({ length }) => length))).toEqual([[0, 1, 2], [90], [300]]);
  });

  it('fail alone when one of their texts cannot be prepared, and with their pass when it fails; others are answered', async () => {
    const { batcher, next } = slow(4);
    const running = batcher.ask('a', ['aaaa']);
    const poisoned = batcher.ask('b', ['poison', 'bb']);
    const good = batcher.ask('c', ['cccc']);
    const failing = Promise.allSettled([running, poisoned]);
    await next(new Error('out of memory'));
    while ((await next()).length > 0);
    expect((await failing).map((result) => (result.status === 'rejected' ? (result.reason as Error).message : result.value))).toEqual([
      'out of memory',
      'no tokens',
    ]);
    expect(await good).toEqual(['CCCC']);
    const later = batcher.ask('a', ['later']);
    await next();
    expect(await later).toEqual(['LATER']);
    expect(await batcher.ask('a', [])).toEqual([]);
  });
});

const outcome = (asked: Promise<readonly string[]>): Promise<readonly string[] | string> =>
  asked.catch((error: unknown) => (error instanceof Overloaded ? `again in ${error.retryAfterSeconds} s` : String(error)));

describe('more requests than may wait', () => {
  it('are refused to the tenant that has most waiting, its newest first; single ones of others are answered', async () => {
    const { batcher, next } = slow(1, 10);
    const running = batcher.ask('flood', ['1']);
    const flood = Array.from({ length: 12 }, () => outcome(batcher.ask('flood', ['2'])));
    // Ten wait, two too many were refused at once; each single text of another takes the place of the newest of the ten.
    const single = [batcher.ask('a', ['a']), batcher.ask('b', ['b']), batcher.ask('a', ['c'])];
    const many = outcome(batcher.ask('c', ['d', 'd', 'd', 'd', 'd', 'd', 'd', 'd']));
    while ((await next()).length > 0);
    expect(await running).toEqual(['1']);
    expect(await Promise.all(single)).toEqual([['A'], ['B'], ['C']]);
    const refused = 'again in 1 s';
    expect(await Promise.all(flood)).toEqual([...Array.from({ length: 7 }, () => ['2']), ...Array.from({ length: 5 }, () => refused)]);
    // Who would be the one with most waiting is refused itself.
    expect(await many).toBe(refused);
    const later = batcher.ask('flood', ['x']);
    await next();
    expect(await later).toEqual(['X']);
  });

  it('are told when those that wait now will have been answered; a request of as many as may wait fits', async () => {
    const { batcher, next } = slow(2, 6);
    const first = batcher.ask('a', ['1', '2']);
    await next();
    const waiting = [batcher.ask('a', ['1']), batcher.ask('a', ['1', '1', '1', '1', '1', '1'])];
    expect(await outcome(batcher.ask('a', ['1']))).toBe('again in 6 s');
    while ((await next()).length > 0);
    expect(await first).toHaveLength(2);
    expect((await Promise.all(waiting)).map(({ length }) => length)).toEqual([1, 6]);
  });

  it('do not count what was withdrawn because a text could not be prepared', async () => {
    const { batcher, next } = slow(100, 3);
    const running = batcher.ask('a', ['1']);
    const poisoned = outcome(batcher.ask('b', ['poison', 'ok', 'ok']));
    await next();
    expect(await poisoned).toContain('no tokens');
    await next();
    const later = batcher.ask('c', ['1']);
    const full = batcher.ask('d', ['1', '1', '1']);
    while ((await next()).length > 0);
    expect(await running).toEqual(['1']);
    expect(await Promise.all([later, full])).toHaveLength(2);
  });
});

describe('the passes of a batch', () => {
  it('put like lengths together, and never compute much for padding', () => {
    const lengths = Array.from({ length: 200 }, (_, i) => 5 + ((i * 37) % 60));
    const passes = passesOf(lengths, (length) => length);
    expect(passes.flat().sort((a, b) => a - b)).toEqual([...lengths].sort((a, b) => a - b));
    for (const pass of passes) {
      const padding = pass.reduce((sum, length) => sum + Math.max(...pass) - length, 0);
      expect(padding).toBeLessThanOrEqual(Math.max(16, 0.2 * Math.max(...pass) * pass.length));
      expect(pass.at(-1)).toBe(Math.max(...pass));
    }
    expect(passes.length).toBeLessThan(40);
    expect(passesOf([512, 9, 9, 9], (length) => length)).toEqual([[9, 9, 9], [512]]);
  });
});
