/**
 * MySQL GTIDs: `uuid:number`, from MySQL 8.3 on also `uuid:tag:number`; sets: `uuid:1-5:7:tag:1-3,uuid2:3` (white space allowed).
 * Pure string and number work. `source` carries the tag: sequences of different tags of one server are independent of each other.
 * A log that was reset numbers its transactions anew. GTIDs and sets of the time after the first reset end with `@1`, and so on
 * (docs/adr/0005-log-epochs.md): without it, `uuid:5` would name two commits.
 */
export type Gtid = { readonly source: string; readonly sequence: number; readonly epoch: number };

/** A tag begins with a letter or an underscore, so that it cannot be taken for an interval. */
const tagPattern = /^[a-z_][a-z0-9_]{0,31}$/;

export function parseGtid(text: string): Gtid | null {
  const { epoch, plain } = splitEpoch(text);
  const match = /^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(:[a-z_][a-z0-9_]{0,31})?:([1-9][0-9]{0,17})$/i.exec(plain);
  return match ? { source: `${match[1]}${match[2] ?? ''}`.toLowerCase(), sequence: Number(match[3]), epoch } : null;
}

/** A GTID or a set of them as belonging to an epoch of the log. */
export const inEpoch = (gtids: string, epoch: number): string => (epoch > 0 && gtids !== '' ? `${gtids}@${epoch}` : gtids);

function splitEpoch(text: string): { readonly epoch: number; readonly plain: string } {
  const match = /^(.*)@([1-9][0-9]{0,8})$/s.exec(text.trim());
  return match ? { epoch: Number(match[2]), plain: (match[1] as string).trim() } : { epoch: 0, plain: text.trim() };
}

/**
 * Whether the set contains the GTID; false for '' and for anything that is not a GTID. A set of a later epoch was read after everything of
 * an earlier one had been committed or lost; a set of an earlier one says nothing about a later commit that bears the same number.
 */
export function gtidSetContains(set: string, gtid: string): boolean {
  const wanted = parseGtid(gtid);
  if (!wanted) return false;
  const { epoch, plain } = splitEpoch(set);
  if (epoch !== wanted.epoch) return epoch > wanted.epoch;
  return plain.split(',').some((part) => {
    const [uuid = '', ...tokens] = part.split(':').map((token) => token.trim().toLowerCase());
    // Intervals belong to the tag before them, those at the beginning to none.
    let source = uuid;
    for (const token of tokens) {
      if (tagPattern.test(token)) {
        source = `${uuid}:${token}`;
        continue;
      }
      if (source !== wanted.source) continue;
      const [from, to = from] = token.split('-').map(Number);
      if (from !== undefined && to !== undefined && from <= wanted.sequence && wanted.sequence <= to) return true;
    }
    return false;
  });
}
