type SpecialToken = { readonly id: number; readonly content: string; readonly lstrip: boolean; readonly rstrip: boolean };
/** A part of a text: a special token that is written in it, or what lies between. */
export type Part = { readonly id: number | null; readonly from: number; readonly chars: readonly string[] };

const whiteSpace = /^\p{White_Space}$/u;

/** Finds special tokens that a text spells out, such as `[SEP]`: the leftmost, of those the longest. They are matched before the text is normalised. */
export function specialTokensOf(tokens: readonly SpecialToken[]): (chars: readonly string[]) => Part[] {
  const byFirst = new Map<string, { readonly chars: readonly string[]; readonly token: SpecialToken }[]>();
  for (const token of tokens) {
    const chars = Array.from(token.content);
    const [first] = chars;
    if (first === undefined) continue;
    byFirst.set(
      first,
      [...(byFirst.get(first) ?? []), { chars, token }].sort((a, b) => b.chars.length - a.chars.length),
    );
  }
  return (chars) => {
    const parts: Part[] = [];
    let done = 0;
    const textTo = (end: number): void => {
      if (end > done) parts.push({ id: null, from: done, chars: chars.slice(done, end) });
    };
    for (let at = 0; at < chars.length; at++) {
      const found = byFirst.get(chars[at] as string)?.find((entry) => entry.chars.every((char, i) => chars[at + i] === char));
      if (!found) continue;
      const { id, lstrip, rstrip } = found.token;
      let from = at;
      let to = at + found.chars.length;
      if (lstrip) while (from > done && whiteSpace.test(chars[from - 1] as string)) from--;
      if (rstrip) while (to < chars.length && whiteSpace.test(chars[to] as string)) to++;
      textTo(from);
      parts.push({ id, from, chars: chars.slice(from, to) });
      done = to;
      at = to - 1;
    }
    textTo(chars.length);
    return parts;
  };
}
