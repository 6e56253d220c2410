import { textsOf } from '../answering.ts';
import { type LoadAnswerer, type TokenEmbeddings, textOf } from '../contract.ts';
import { type LinearHead, loadLinearHead, softmax } from '../linear-head.ts';
import { type ScoredSpan, carried, spansOf, speakersOf, wordsOf } from './words.ts';

/**
 * `{entities: [{start, end, label, score, text}..]}`, in the order of the text; start and end are Unicode code points.
 * answering.json: tags (`O`, and `B-` and `I-` of each label). How tokens become words and tags become spans: words.ts.
 */
export const loadAnswerer: LoadAnswerer = async (parts) => {
  const tags = textsOf(parts, 'tags');
  const head = await loadLinearHead(parts, 'tagger', tags.length);
  return {
    bytes: head.bytes,
    answer: async (inputs, encoder) => {
      const texts = inputs.map((input) => textOf(input));
      const found = await encoder.embedTokens(texts);
      return texts.map((text, i) => {
        const points = Array.from(text);
        const tokens = found[i];
        const spans = tokens ? entitiesOf(text, tokens, head, tags, parts.dim) : [];
        return { entities: spans.map((span) => ({ ...span, text: points.slice(span.start, span.end).join('') })) };
      });
    },
  };
};

function entitiesOf(text: string, tokens: TokenEmbeddings, head: LinearHead, tags: readonly string[], dim: number): ScoredSpan[] {
  const words = wordsOf(text);
  const found: string[] = [];
  const sure: number[] = [];
  for (const speaker of speakersOf(words, tokens.spans)) {
    if (speaker >= 0) {
      const scores = softmax(head.apply(tokens.data, speaker * dim));
      // The first of equal ones, as the trainer does.
      const score = Math.max(...scores);
      found.push(tags[scores.indexOf(score)] ?? 'O');
      sure.push(score);
    } else {
      const before = found.at(-1) ?? 'O';
      const inside = speaker === carried && before !== 'O';
      found.push(inside ? `I-${before.slice(2)}` : 'O');
      sure.push(inside ? (sure.at(-1) as number) : 1);
    }
  }
  return spansOf(words, found, sure);
}
