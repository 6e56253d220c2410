import type { ChangeDigest } from '../core/change-digest.ts';
import type { LogPosition } from '../core/change-digest.ts';
import { parseGtid } from '../core/gtid.ts';

/**
 * How far the log has been counted, by `topic/partition` and then by the GTID's source, '' for a log without GTIDs.
 * Positions, not offsets, decide: a topic that was recreated starts its offsets again, the log does not.
 */
export type Watermarks = Readonly<Record<string, Readonly<Record<string, LogPosition>>>>;

/** Failovers leave one source each; older ones than this cannot come back by a redelivery any more. */
const maxSourcesPerPartition = 8;

const noGtid = { epoch: 0, sequence: 0 };
const sourceOf = (position: LogPosition): string => parseGtid(position.gtid)?.source ?? '';

/** Whether `a` is later than `b` in one source's log. File names of one server sort by their number; `row` counts within an event. */
function isLater(a: LogPosition, b: LogPosition): boolean {
  const { epoch: epochA, sequence: sequenceA } = parseGtid(a.gtid) ?? noGtid;
  const { epoch: epochB, sequence: sequenceB } = parseGtid(b.gtid) ?? noGtid;
  // A log that was reset counts from 1 again.
  if (epochA !== epochB) return epochA > epochB;
  if (sequenceA !== sequenceB) return sequenceA > sequenceB;
  if (a.file !== b.file) return a.file.length === b.file.length ? a.file > b.file : a.file.length > b.file.length;
  return a.pos === b.pos ? a.row > b.row : a.pos > b.pos;
}

/**
 * Moves the watermarks on by a digest. `fresh` is false if every range of it was counted before: then it is a redelivery.
 * A range that only partly overlaps is taken whole: counts may be too high then, and the dataset decides what is trained.
 */
export function advanceWatermarks(
  marks: Watermarks,
  ranges: ChangeDigest['ranges'],
): { readonly marks: Watermarks; readonly fresh: boolean } {
  const next: Record<string, Readonly<Record<string, LogPosition>>> = { ...marks };
  let fresh = false;
  for (const [partition, { last }] of Object.entries(ranges)) {
    const source = sourceOf(last);
    const { [source]: mark, ...others } = next[partition] ?? {};
    if (mark && !isLater(last, mark)) continue;
    fresh = true;
    // The newest source is last, so that the oldest is forgotten first.
    const kept = Object.entries(others).slice(-(maxSourcesPerPartition - 1));
    next[partition] = { ...Object.fromEntries(kept), [source]: last };
  }
  return { marks: next, fresh };
}
