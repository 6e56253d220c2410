/** Sets of GTIDs as MySQL writes them (`uuid:1-5:7,uuid:tag:1-3`): by source (and tag), ascending intervals that do not touch. */
export type GtidSet = ReadonlyMap<string, readonly Interval[]>;
type Interval = readonly [first: number, last: number];

export function parseGtidSet(text: string): GtidSet {
  const found = new Map<string, Interval[]>();
  for (const part of text.split(',')) {
    const [uuid, ...fields] = part.trim().toLowerCase().split(':');
    if (!uuid) continue;
    let source = uuid;
    for (const field of fields) {
      const match = /^(\d+)(?:-(\d+))?$/.exec(field.trim());
      // Tags (MySQL 8.3 and later) number their transactions apart from those without.
      if (!match) source = `${uuid}:${field.trim()}`;
      else {
        const first = Number(match[1]);
        found.set(source, [...(found.get(source) ?? []), [first, Number(match[2] ?? first)]]);
      }
    }
  }
  return new Map([...found].map(([source, intervals]) => [source, merge(intervals)] as const));
}

function merge(intervals: readonly Interval[]): Interval[] {
  const merged: Interval[] = [];
  for (const [first, last] of [...intervals].sort((a, b) => a[0] - b[0])) {
    const before = merged.at(-1);
    if (before && first <= before[1] + 1) merged[merged.length - 1] = [before[0], Math.max(before[1], last)];
    else merged.push([first, last]);
  }
  return merged;
}

/** What `from` has and `taken` has not. */
export function subtractGtids(from: GtidSet, taken: GtidSet): GtidSet {
  const left = new Map<string, readonly Interval[]>();
  for (const [source, intervals] of from) {
    const rest = intervals.flatMap((interval) => cut(interval, taken.get(source) ?? []));
    if (rest.length > 0) left.set(source, rest);
  }
  return left;
}

function cut([first, last]: Interval, taken: readonly Interval[]): Interval[] {
  const left: Interval[] = [];
  let from = first;
  for (const [takenFirst, takenLast] of taken) {
    if (takenLast < from || takenFirst > last) continue;
    if (takenFirst > from) left.push([from, takenFirst - 1]);
    from = takenLast + 1;
  }
  if (from <= last) left.push([from, last]);
  return left;
}

export const countGtids = (set: GtidSet): number => [...set.values()].flat().reduce((count, [first, last]) => count + last - first + 1, 0);

/** What is in both. */
export const commonGtids = (a: GtidSet, b: GtidSet): GtidSet => subtractGtids(a, subtractGtids(a, b));
