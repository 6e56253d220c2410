import { type SchemaChange, type SchemaDecided, readChangePrefix } from '../core/schema-change.ts';
import { mergePending, unknownChanges } from './pending-changes.ts';
import { type Entry, type SchemaState, schemaOf } from './tenant-state.ts';

/** Changes that an entry remembers; a redelivery older than these many is one of years ago. */
const maxTold = 32;
/** Who asks for the run of policy adopt_and_retrain. */
const policyActor = 'schema policy';

const toldWith = ({ told }: SchemaState, ...changeIds: readonly string[]): readonly string[] =>
  [...told.filter((id) => !changeIds.includes(id)), ...changeIds].slice(-maxTold);

/** A hold of a comparison says what the log had not told yet. */
const isOfRead = ({ held }: SchemaState): boolean => held?.changeId.startsWith(readChangePrefix) ?? false;

/** Nothing that was counted before can be trusted to be all: the whole table is compared. */
const comparedAnew = (entry: Entry, nowMs: number, lastGtid: string): Entry => ({
  ...entry,
  pending: mergePending(entry.pending, { ...unknownChanges(nowMs), lastGtid }),
  hold: null,
  proposal: null,
});

/** The structure changed: note it, compare everything, or freeze training until a person decides. Told twice, it counts once. */
export function schemaChanged(entry: Entry, change: SchemaChange, nowMs: number): Entry {
  const schema = schemaOf(entry);
  if (schema.told.includes(change.changeId)) return entry;
  const { changeId, kind, table, reason, schemaVersion, atMs } = change;
  const told: SchemaState = { ...schema, version: Math.max(schema.version, schemaVersion), told: toldWith(schema, changeId) };
  switch (change.effect) {
    case 'held':
      return { ...entry, schema: { ...told, held: { changeId, kind, table, reason, schemaVersion, atMs } } };
    case 'rebuild': {
      const next = comparedAnew({ ...entry, schema: { ...told, held: isOfRead(schema) ? null : schema.held } }, nowMs, change.gtid);
      return change.retrain ? { ...next, request: { reason, force: true, actor: policyActor } } : next;
    }
    default:
      return { ...entry, schema: { ...told, held: isOfRead(schema) ? null : schema.held } };
  }
}

/** A person has answered. A change that came after the answer is still held. */
export function schemaDecided(entry: Entry, { changeIds, rebuild, schemaVersion }: SchemaDecided, nowMs: number): Entry {
  const schema = schemaOf(entry);
  const answered = schema.held === null || changeIds.includes(schema.held.changeId) || isOfRead(schema);
  const next: Entry = {
    ...entry,
    hold: null,
    schema: {
      held: answered ? null : schema.held,
      version: Math.max(schema.version, schemaVersion),
      told: toldWith(schema, ...changeIds),
    },
  };
  return rebuild ? comparedAnew(next, nowMs, '') : next;
}

/** Ends a comparison whose verdict does not count: its changes wait again. */
export const putBack = (entry: Entry): Entry =>
  entry.activity?.kind === 'planning'
    ? { ...entry, activity: null, batch: null, pending: mergePending(entry.batch, entry.pending) }
    : entry;
