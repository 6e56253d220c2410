/** MySQL GTIDs: `uuid:number`; sets: `uuid:1-5:7,uuid2:3` (white space allowed). Pure string and number work. */
export type Gtid = { readonly source: string; readonly sequence: number };

export function parseGtid(text: string): Gtid | null {
  const match = /^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}):([1-9][0-9]{0,17})$/i.exec(text.trim());
  return match ? { source: (match[1] as string).toLowerCase(), sequence: Number(match[2]) } : null;
}

/** Whether the set contains the GTID; false for '' and for anything that is not a GTID. */
export function gtidSetContains(set: string, gtid: string): boolean {
  const wanted = parseGtid(gtid);
  if (!wanted) return false;
  return set
    .split(',')
    .map((part) => part.trim().split(':'))
    .some(
      ([source, ...intervals]) =>
        source?.toLowerCase() === wanted.source &&
        intervals.some((interval) => {
          const [from, to = from] = interval.trim().split('-').map(Number);
          return from !== undefined && to !== undefined && from <= wanted.sequence && wanted.sequence <= to;
        }),
    );
}
