/**
 * MySQL GTIDs: `uuid:number`; sets: `uuid:1-5:7,uuid2:3` (white space allowed). Pure string and number work.
 * A log that was reset numbers its transactions anew. GTIDs and sets of the time after the first reset end with `@1`, and so on
 * (docs/adr/0004-log-epochs.md): without it, `uuid:5` would name two commits.
 */
export type Gtid = { readonly source: string; readonly sequence: number; readonly epoch: number };

export function parseGtid(text: string): Gtid | null {
  const { epoch, plain } = splitEpoch(text);
  const match = /^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}):([1-9][0-9]{0,17})$/i.exec(plain);
  return match ? { source: (match[1] as string).toLowerCase(), sequence: Number(match[2]), epoch } : null;
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
  return plain
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
