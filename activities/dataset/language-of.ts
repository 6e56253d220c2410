/**
 * The language of a text, told by its script and, for Latin letters, by its commonest words: enough to choose an encoder, no more.
 * A code of ISO 639, `und-Cyrl`, `und-Arab`, `und-Deva` or `und-Latn` where several languages share the script; null where nothing tells.
 */
export function languageOf(normalisedText: string): string | null {
  const text = normalisedText.slice(0, readChars);
  const weights = new Map<string, number>();
  let plain = 0;
  let accented = 0;
  for (let i = 0; i < text.length; i++) {
    const cp = text.codePointAt(i) ?? 0;
    if (cp < 0x80) {
      // The usual case first.
      if ((cp | 0x20) >= 0x61 && (cp | 0x20) <= 0x7a) plain += 1;
      continue;
    }
    if (cp > 0xffff) i += 1;
    const script = scriptOf(cp);
    if (script === 'Latn') accented += 1;
    else if (script !== null) weights.set(script, (weights.get(script) ?? 0) + (heavy.has(script) ? ideographWeight : 1));
  }
  if (plain + accented > 0) weights.set('Latn', plain + accented);
  const han = weights.get('Hani') ?? 0;
  const kana = weights.get('Kana') ?? 0;
  if (kana > 0) weights.set('Kana', kana + han);
  const [script] = [...weights].sort(([, a], [, b]) => b - a)[0] ?? [null];
  if (script === null) return null;
  if (script === 'Hani') return 'zh';
  if (script === 'Kana') return kana >= han * kanaShare ? 'ja' : 'zh';
  if (script !== 'Latn') return script;
  return byWords(text) ?? (accented > 0 ? 'und-Latn' : null);
}

/** So much of a text is looked at. */
const readChars = 300;
/** One of these says as much as several letters. */
const ideographWeight = 3;
/** Japanese writes at least so much of its text in kana, Chinese none. */
const kanaShare = 0.1;
const heavy = new Set(['Hani', 'Kana', 'ko']);

/** Ranges of code points, ascending: first, last, and the script or the only language of it. */
const ranges: readonly (readonly [number, number, string])[] = [
  [0xc0, 0x24f, 'Latn'],
  [0x370, 0x3ff, 'el'],
  [0x400, 0x52f, 'und-Cyrl'],
  [0x530, 0x58f, 'hy'],
  [0x590, 0x5ff, 'he'],
  [0x600, 0x77f, 'und-Arab'],
  [0x900, 0x97f, 'und-Deva'],
  [0x980, 0x9ff, 'bn'],
  [0xa00, 0xa7f, 'pa'],
  [0xa80, 0xaff, 'gu'],
  [0xb00, 0xb7f, 'or'],
  [0xb80, 0xbff, 'ta'],
  [0xc00, 0xc7f, 'te'],
  [0xc80, 0xcff, 'kn'],
  [0xd00, 0xd7f, 'ml'],
  [0xd80, 0xdff, 'si'],
  [0xe00, 0xe7f, 'th'],
  [0xe80, 0xeff, 'lo'],
  [0x1000, 0x109f, 'my'],
  [0x10a0, 0x10ff, 'ka'],
  [0x1100, 0x11ff, 'ko'],
  [0x1200, 0x139f, 'am'],
  [0x1780, 0x17ff, 'km'],
  [0x1e00, 0x1eff, 'Latn'],
  [0x1f00, 0x1fff, 'el'],
  [0x3040, 0x30ff, 'Kana'],
  [0x3400, 0x4dbf, 'Hani'],
  [0x4e00, 0x9fff, 'Hani'],
  [0xac00, 0xd7a3, 'ko'],
  [0xf900, 0xfaff, 'Hani'],
  [0x20000, 0x323af, 'Hani'],
];

function scriptOf(cp: number): string | null {
  return ranges.find(([first, last]) => cp >= first && cp <= last)?.[2] ?? null;
}

/** Words that hardly a sentence goes without. English first: it wins what is even. */
const commonWords: Readonly<Record<string, string>> = {
  en: 'the of and to in is it i you my a an for on with that this what how do does can are was be at not have from me your please when where why did will should been has they',
  de: 'der die das und ist ich nicht ein eine zu mit wie für auf mein meine den dem es von sie kann im auch bitte wir warum wo habe',
  fr: 'le la les des et est je un une que pour dans pas vous sur mon ma ce qui comment avec au en du ne il elle nous pourquoi ai',
  es: 'el la los las de que y es un una en por para mi no con como se lo qué cómo está del mis yo cuando dónde puedo tengo',
  pt: 'o os de que e é um uma em para não com meu minha como do da no na por você está eu posso onde quando',
  it: 'il la che di e è un una per non con mio mia come sono in del della si ho gli lo dove quando posso perché',
  nl: 'de het een en van ik is niet mijn dat op te voor met hoe zijn kan naar wat waarom heb wordt',
  pl: 'i w na nie się jest to że z do jak mój moja mam czy co dlaczego gdzie mogę',
  tr: 've bir bu için ne nasıl mi mı değil var yok ben çok ile benim neden',
  vi: 'và là của không tôi có cho một được trong với này làm như thế',
  id: 'dan yang di saya tidak untuk ini itu dengan apa bagaimana ada ke dari bisa',
  sv: 'och att det är jag inte en på som för med min hur kan har varför',
};
const languagesByWord = new Map<string, string[]>();
for (const [language, words] of Object.entries(commonWords))
  for (const word of words.split(' ')) languagesByWord.set(word, [...(languagesByWord.get(word) ?? []), language]);

function byWords(text: string): string | null {
  const hits = new Map<string, number>();
  for (const word of text.split(' '))
    for (const language of languagesByWord.get(word) ?? []) hits.set(language, (hits.get(language) ?? 0) + 1);
  const most = Math.max(...hits.values());
  return Object.keys(commonWords).find((language) => hits.get(language) === most) ?? null;
}
