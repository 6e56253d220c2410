import type { ChosenEncoder, LanguageCounts } from '../../core/dataset.ts';

/** Rows whose language nothing tells, such as order numbers. */
export const unknownLanguage = 'und';
/** A language of fewer rows than this does not decide. */
const neededShare = 0.1;

/** Languages of a script that several share: an encoder that knows one of them has read the script. */
const languagesOfScript: Readonly<Record<string, readonly string[]>> = {
  'und-Cyrl': ['ru', 'uk', 'bg', 'sr', 'mk', 'be', 'kk', 'ky', 'mn'],
  'und-Arab': ['ar', 'fa', 'ur', 'ps', 'sd', 'ug'],
  'und-Deva': ['hi', 'mr', 'ne', 'sa'],
  'und-Latn': [
    'de',
    'fr',
    'es',
    'pt',
    'it',
    'nl',
    'pl',
    'tr',
    'vi',
    'cs',
    'ro',
    'hu',
    'fi',
    'hr',
    'sk',
    'da',
    'no',
    'et',
    'lt',
    'lv',
    'sq',
    'ca',
  ],
};

type Installed = { readonly name: string; readonly languages: readonly string[] };

export const sumLanguages = (parts: readonly LanguageCounts[]): LanguageCounts => {
  const total: Record<string, number> = {};
  for (const part of parts) for (const [language, rows] of Object.entries(part)) total[language] = (total[language] ?? 0) + rows;
  return total;
};

/** Languages that decide, the commonest first, each with its share of the rows whose language is known. */
function deciding(counts: LanguageCounts): { readonly language: string; readonly share: number }[] {
  const known = Object.entries(counts).filter(([language]) => language !== unknownLanguage);
  const rows = known.reduce((sum, [, count]) => sum + count, 0);
  return known
    .map(([language, count]) => ({ language, share: count / rows }))
    .filter(({ share }) => share >= neededShare)
    .sort((a, b) => b.share - a.share || (a.language < b.language ? -1 : 1));
}

const knows = ({ languages }: Installed, language: string): boolean =>
  (languagesOfScript[language] ?? [language]).some((code) => languages.includes(code));

/**
 * The encoder for rows in these languages: the one that an option names; else that of the dataset before, as long as it knows the languages; else the
 * most specialised one that knows them all, and of equal ones the first by name; null where none is installed.
 */
export function chooseEncoder({
  installed,
  counts,
  option,
  before,
}: {
  readonly installed: readonly Installed[];
  readonly counts: LanguageCounts;
  readonly option: string | null;
  readonly before: string | null;
}): Omit<ChosenEncoder, 'digest'> | null {
  const needed = deciding(counts);
  const languages = needed.map(({ language }) => language);
  const shares = needed.map(({ language, share }) => `${language} ${Math.round(share * 100)} %`).join(', ');
  const said = needed.length > 0 ? `of the rows whose language is known: ${shares}` : 'no row tells its language';
  if (option !== null) return { name: option, languages, why: `the option baseModel names it (${said})` };
  const fits = (encoder: Installed): boolean => languages.every((language) => knows(encoder, language));
  const kept = installed.find(({ name }) => name === before);
  if (kept && fits(kept)) return { name: kept.name, languages, why: `kept from the dataset before, whose languages it knows (${said})` };
  const gone =
    before === null ? '' : `; ${before}, that of the dataset before, ${kept ? 'does not know them' : 'is not installed any more'}`;
  const ranked = [...installed].sort((a, b) => a.languages.length - b.languages.length || (a.name < b.name ? -1 : 1));
  const fitting = ranked.find(fits);
  if (fitting) return { name: fitting.name, languages, why: `the most specialised installed encoder that knows them (${said})${gone}` };
  const covered = (encoder: Installed): number =>
    needed.reduce((sum, { language, share }) => sum + (knows(encoder, language) ? share : 0), 0);
  const [best] = [...ranked].sort((a, b) => covered(b) - covered(a));
  if (!best) return null;
  const missing = languages.filter((language) => !knows(best, language));
  return {
    name: best.name,
    languages,
    why: `no installed encoder knows all (${said}): this one knows most, and not ${missing.join(', ')}${gone}`,
  };
}
