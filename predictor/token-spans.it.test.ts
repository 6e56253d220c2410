import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { describe, expect, it } from 'vitest';
import { speakersOf, wordsOf } from '../catalog/entity-extraction/words.ts';
import { runCommand } from '../infra/local/run-command.ts';
import { resolvePaths } from '../platform/paths.ts';
import { namesOf } from './encoder.ts';
import { tokenSpans } from './token-spans.ts';

const paths = resolvePaths(process.env);

const texts = [
  'Book a table for two at Luigi’s in New York, tomorrow!',
  '  Ｆｕｌｌ　ｗｉｄｔｈ and\ttabs\n',
  '我想预订北京饭店，人均50-100元。',
  'naïve Café Cafe\u0301 Ångström ﬁne ㎏ ½',
  'fly✈️to🇫🇷now 👩‍🍳cook 🙂🙂',
  'İstanbul STRASSE straße ǅ',
  'supercalifragilisticexpialidocious antidisestablishmentarianism',
  'お寿司をください 서울 호텔 ที่นี่ हिन्दी',
  'a_b-c.d/e\\f $9.50 x=y^z `q` ~w~ <b>',
  'zero\u200bwidth soft\u00adhyphen \u0007bell',
  'literally [MASK] and [SEP] here',
  '𠮷野家 𝔘𝔫𝔦 🏴󠁧󠁢󠁥󠁮󠁧󠁿',
  '!',
];

describe('the places of tokens', () => {
  it('are those that the trainer’s tokenizer gives', async () => {
    const file = join(paths.modelsDir, 'all-MiniLM-L6-v2', 'tokenizer.json');
    const program = `
import json, sys
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[1])
tokenizer.no_padding(); tokenizer.no_truncation()
for text in json.loads(sys.argv[2]):
    e = tokenizer.encode(text)
    print(json.dumps([[t, *o] for t, o, s in zip(e.tokens, e.offsets, e.special_tokens_mask) if not s]))
`;
    const lines: string[] = [];
    const output = await runCommand(paths.trainerPython, ['-c', program, file, JSON.stringify(texts)], {
      env: { PYTHONIOENCODING: 'utf-8' },
      onLine: (line) => lines.push(line),
    });
    const json = readFileSync(file);
    const tokenizer = new Tokenizer(JSON.parse(json.toString('utf8')) as object, {});
    const names = namesOf(tokenizer, json);
    const known = (lines.length > 0 ? lines : output.trim().split('\n')).map((line) => JSON.parse(line) as [string, number, number][]);
    for (const [i, text] of texts.entries()) {
      const { tokens } = tokenizer.encode(text);
      const own = tokenSpans(text, tokens, names).filter((span) => span !== null);
      const theirs = known[i] ?? [];
      expect(own.map(({ start }) => start)).toEqual(theirs.map(([, start]) => start));
      // A mark that was taken off a letter is in the same word, whether it counts as part of the token or not.
      const spans = theirs.map(([, start, end]) => ({ start, end }));
      expect({ text, speakers: speakersOf(wordsOf(text), own) }).toEqual({ text, speakers: speakersOf(wordsOf(text), spans) });
    }
  });
});
