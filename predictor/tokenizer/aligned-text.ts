/**
 * A text under normalisation: code points, each with the range of code points of the original that it stands for.
 * Same rules as `NormalizedString` of the tokenizers library, so that offsets are those that the trainer learned with.
 */
export type AlignedText = {
  readonly chars: readonly string[];
  readonly starts: readonly number[];
  readonly ends: readonly number[];
};

/** A code point of the result: 0 replaces the next code point, +1 is inserted after the last one, -n replaces one and swallows n more. */
export type Change = readonly [char: string, change: number];

export const alignedText = (chars: readonly string[], at: number): AlignedText => ({
  chars,
  starts: chars.map((_, i) => at + i),
  ends: chars.map((_, i) => at + i + 1),
});

export const slice = ({ chars, starts, ends }: AlignedText, from: number, to: number): AlignedText => ({
  chars: chars.slice(from, to),
  starts: starts.slice(from, to),
  ends: ends.slice(from, to),
});

/** What an inserted code point stands for: the same as the one before it. */
export function transform({ starts, ends }: AlignedText, changes: Iterable<Change>): AlignedText {
  const chars: string[] = [];
  const newStarts: number[] = [];
  const newEnds: number[] = [];
  let at = 0;
  for (const [char, change] of changes) {
    const from = change > 0 ? at - 1 : at;
    chars.push(char);
    newStarts.push(starts[from] ?? 0);
    newEnds.push(ends[from] ?? 0);
    if (change <= 0) at += 1 - change;
  }
  return { chars, starts: newStarts, ends: newEnds };
}

export function filter(text: AlignedText, keep: (char: string) => boolean): AlignedText {
  if (text.chars.every(keep)) return text;
  const kept = text.chars.flatMap((char, i) => (keep(char) ? [i] : []));
  return {
    chars: kept.map((i) => text.chars[i] as string),
    starts: kept.map((i) => text.starts[i] as number),
    ends: kept.map((i) => text.ends[i] as number),
  };
}

/** Puts `content` in the place of every match; it stands for the last code point of the match. */
export function replace(text: AlignedText, pattern: RegExp, content: string): AlignedText {
  const joined = text.chars.join('');
  if (!joined.match(pattern)) return text;
  const inserted = Array.from(content);
  const chars: string[] = [];
  const starts: number[] = [];
  const ends: number[] = [];
  let at = 0;
  let unit = 0;
  const copyTo = (end: number): void => {
    for (; unit < end; at++) {
      const char = text.chars[at] as string;
      chars.push(char);
      starts.push(text.starts[at] as number);
      ends.push(text.ends[at] as number);
      unit += char.length;
    }
  };
  for (const match of joined.matchAll(pattern)) {
    if (match[0] === '') continue;
    copyTo(match.index);
    for (; unit < match.index + match[0].length; at++) unit += (text.chars[at] as string).length;
    for (const char of inserted) {
      chars.push(char);
      starts.push(text.starts[at - 1] ?? 0);
      ends.push(text.ends[at - 1] ?? 0);
    }
  }
  copyTo(joined.length);
  return { chars, starts, ends };
}

/** Puts one code point before the text; it stands for the first one. */
export function prepend(text: AlignedText, char: string): AlignedText {
  const [start] = text.starts;
  const [end] = text.ends;
  if (start === undefined || end === undefined) return text;
  return { chars: [char, ...text.chars], starts: [start, ...text.starts], ends: [end, ...text.ends] };
}
