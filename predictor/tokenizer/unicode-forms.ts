import { type AlignedText, type Change, transform } from './aligned-text.ts';

export type UnicodeForm = 'NFC' | 'NFD' | 'NFKC' | 'NFKD';

/** What joins the code point before it: combining marks, and vowels and final consonants of Hangul. */
const joins = /^[\p{M}\u1160-\u11ff]$/u;

/** A Unicode normalisation form that keeps the alignment: computed from one base and its marks to the next. */
export function unicodeForm(text: AlignedText, form: UnicodeForm): AlignedText {
  const joined = text.chars.join('');
  if (joined.normalize(form) === joined) return text;
  const decompose = form.endsWith('KC') || form.endsWith('KD') ? 'NFKD' : 'NFD';
  const compose = form.endsWith('C');
  const changes: Change[] = [];
  let segment: Change[] = [];
  const flush = (): void => {
    for (const change of compose ? composed(sorted(segment)) : sorted(segment)) changes.push(change);
    segment = [];
  };
  for (const char of text.chars)
    Array.from(char.normalize(decompose)).forEach((part, i) => {
      if (!joins.test(part)) flush();
      segment.push([part, i === 0 ? 0 : 1]);
    });
  flush();
  return transform(text, changes);
}

const textOf = (segment: readonly Change[]): string => segment.map(([char]) => char).join('');

/** In canonical order. */
function sorted(segment: readonly Change[]): Change[] {
  if (segment.length < 2) return [...segment];
  const left = [...segment];
  return Array.from(textOf(segment).normalize('NFD'), (char) => {
    const found = left.findIndex(([other]) => other === char);
    return left.splice(Math.max(found, 0), 1)[0] as Change;
  });
}

/** The first takes in what composes with it: each costs it one code point. */
function composed(segment: readonly Change[]): Change[] {
  const [first, ...marks] = segment;
  if (!first || marks.length === 0 || joins.test(first[0])) return [...segment];
  const [head, ...rest] = Array.from(textOf(segment).normalize('NFC'));
  if (head === undefined || rest.length === marks.length) return [...segment];
  let change = first[1];
  const kept: Change[] = [];
  for (const mark of marks) {
    if (rest[kept.length] === mark[0]) kept.push(mark);
    else change += mark[1] - 1;
  }
  return [[head, change], ...kept];
}
