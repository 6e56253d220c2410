import { failure } from '../../activities/failure.ts';
import type { ControlActivities } from '../../activities/ports.ts';
import type { HeldSchema, SchemaChange, SchemaDecided } from '../../core/schema-change.ts';

/** What the fake platform keeps of the structure of a customization's table. */
export type FakeSchema = {
  readonly undecided: SchemaChange[];
  readonly answers: Map<string, SchemaDecided>;
  /** What a reader finds: a comparison that meets it holds everything. */
  unreadable: SchemaChange | null;
};

export const newFakeSchema = (): FakeSchema => ({ undecided: [], answers: new Map(), unreadable: null });

export const fakeHeld = ({ undecided }: FakeSchema): HeldSchema | null => undecided[0] ?? null;

/** As the real reader: nothing is read over a structure that nobody approved. */
export function refuseHeld(schema: FakeSchema): void {
  const change = schema.unreadable ?? schema.undecided[0];
  if (!change) return;
  if (schema.unreadable && !schema.undecided.includes(change)) schema.undecided.push(change);
  throw failure('SchemaHeld', change.reason, undefined, [change]);
}

export function decideFakeSchema(schema: FakeSchema, input: Parameters<ControlActivities['decideSchema']>[0]): SchemaDecided {
  const known = schema.answers.get(input.requestKey);
  if (known) return known;
  if (schema.undecided.length === 0) throw failure('BadOptions', `no change of structure of ${input.customizationId} waits for an answer`);
  const decided = {
    changeIds: schema.undecided.map(({ changeId }) => changeId),
    rebuild: input.action !== 'ignore',
    schemaVersion: Math.max(...schema.undecided.map(({ schemaVersion }) => schemaVersion)),
  };
  schema.undecided.splice(0);
  schema.unreadable = null;
  schema.answers.set(input.requestKey, decided);
  return decided;
}
