/**
 * MySQL GTIDs: `uuid:number`, from MySQL 8.3 on also `uuid:tag:number`; sets: `uuid:1-5:7:tag:1-3,uuid2:3` (white space allowed).
 * Pure string and number work. `source` carries the tag: sequences of different tags of one server are independent of each other.
 */
export type Gtid = { readonly source: string; readonly sequence: number };

/** A tag begins with a letter or an underscore, so that it cannot be taken for an interval. */
const tagPattern = /^[a-z_][a-z0-9_]{0,31}$/;

export function parseGtid(text: string): Gtid | null {
  const match = /^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(:[a-z_][a-z0-9_]{0,31})?:([1-9][0-9]{0,17})$/i.exec(
    text.trim(),
  );
  return match ? { source: `${match[1]}${match[2] ?? ''}`.toLowerCase(), sequence: Number(match[3]) } : null;
}

/** Whether the set contains the GTID; false for '' and for anything that is not a GTID. */
export function gtidSetContains(set: string, gtid: string): boolean {
  const wanted = parseGtid(gtid);
  if (!wanted) return false;
  return set.split(',').some((part) => {
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
