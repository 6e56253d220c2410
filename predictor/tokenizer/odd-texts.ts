/** Texts that tokenizers stumble over: Chinese on and off the first plane, emoji sequences, marks, widths, control characters, special tokens. */
export const oddTexts: readonly string[] = [
  'A plain sentence, nothing more.',
  '我想订一张去北京的火车票,请问酒店有早餐吗?',
  '𠮷野家 𠀀𪚥 㐀豈 在哪儿？',
  '👍👩‍👩‍👧‍👦🏳️‍🌈❤️ ok 😀🇨🇳!',
  'Mixed 中文 and English，随便 写 a few words🙂再来',
  'ÉCOLE naïve Übermaß ñandú İstanbul ÇA VA',
  'ΟΔΟΣ ΣΑΣ Σ',
  'Ｆｕｌｌｗｉｄｔｈ　ｓｐａｃｅ～ ①②½ ﬁﬂ ㎏㍿㈱ ﷺ ｶﾞﾊﾟ',
  'e\u0301a\u0323\u0307 o\u0302\u0301\u0327 \u0307\u0327lost marks',
  '한국어 \u1112\u1161\u11ab\u1100\u1173\u11af 안녕',
  'مرحبا بالعالم שלום Привет नमस्ते สวัสดี',
  'tab\tnew\nline\r\u00a0\u200b\u200d\ufeff\u00ad\u0000\u0001\u007f\u0085 end',
  '[SEP] a [CLS]b [UNK]x </s> y <mask> z<s>',
  '  leading and trailing  ',
  '',
  ' ',
  '\u{10fffd}\ue000\ufffd',
  'x'.repeat(150),
  '很'.repeat(80),
  'a_b-c/d@e.f $5.00 100% #tag it’s “quoted”…',
];

/** So many texts of characters drawn from the odd ones; equal seeds give equal texts. */
export function drawnTexts(count: number, seed: number): string[] {
  const chars = oddTexts.flatMap((text) => Array.from(text).slice(0, 60));
  let state = seed;
  // mulberry32
  const below = (n: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
  return Array.from({ length: count }, () => {
    let at = below(chars.length);
    let text = '';
    for (let i = below(30); i >= 0; i--) {
      // Neighbours stay neighbours for a while: sequences must survive.
      at = below(3) === 0 ? below(chars.length) : (at + 1) % chars.length;
      text += `${chars[at]}${below(8) === 0 ? ' ' : ''}`;
    }
    return text;
  });
}
