import { type SchemaChangeKind, type SchemaEffect, type SchemaPolicy, schemaChangeKinds } from './schema-change.ts';
import { type Column, type TableColumns, columnType } from './table-structure.ts';
import { typeChange } from './type-change.ts';

/** One difference between two structures of a table, as one mapping sees it. */
export type StructureChange = {
  readonly kind: SchemaChangeKind;
  readonly columns: readonly string[];
  /** A clause: what changed. Names columns and types, never contents. */
  readonly what: string;
  /** Rows may be gone although no row event told of it: a partition was dropped. */
  readonly rowsRemoved?: boolean;
};

/** New names by old ones, as the statement gave them. */
export type Renames = Readonly<Record<string, string>>;

/** Column names of MySQL are case-insensitive. */
const sameName = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();
const find = (columns: TableColumns, name: string): Column | undefined => columns.find((column) => sameName(column.name, name));

/** What became of a table that still exists. Structures decide; `renames` only tells a rename from a drop with an addition. */
export function structureChanges(
  before: TableColumns,
  after: TableColumns,
  mapped: readonly string[],
  renames: Renames = {},
): StructureChange[] {
  const isMapped = (name: string): boolean => mapped.some((other) => sameName(other, name));
  const changes: StructureChange[] = [];
  // A name may be given on in one statement: dropped and taken by another column, or renamed and added anew.
  const renamed = new Map<Column, Column>();
  for (const [from, to] of Object.entries(renames)) {
    const [old, now] = [find(before, from), find(after, to)];
    if (old && now && !sameName(from, to)) renamed.set(old, now);
  }
  const taken = new Set(renamed.values());
  const kept = (old: Column): Column | undefined => after.find((now) => sameName(now.name, old.name) && !taken.has(now));
  for (const old of before) {
    const now = renamed.get(old) ?? kept(old);
    changes.push(...columnChanges(old, now, renamed.has(old), isMapped(old.name), now !== undefined && isMapped(now.name)));
  }
  for (const column of after) {
    if (taken.has(column) || before.some((old) => sameName(old.name, column.name) && !renamed.has(old))) continue;
    const what = `column ${column.name} (${columnType(column)}) was added`;
    changes.push({ kind: isMapped(column.name) ? 'mapped_column_added' : 'column_added', columns: [column.name], what });
  }
  for (const name of mapped)
    if (!find(before, name) && !find(after, name))
      changes.push({ kind: 'column_dropped', columns: [name], what: `column ${name} does not exist` });
  return changes;
}

/** `comesToBe`: the new name is mapped, so that the mapping has a column again. */
function columnChanges(old: Column, now: Column | undefined, renamed: boolean, mapped: boolean, comesToBe: boolean): StructureChange[] {
  const columns = [old.name];
  if (!now) {
    const what = `column ${old.name} was dropped`;
    return [mapped ? { kind: 'column_dropped', columns, what } : { kind: 'other', columns, what: `${what}, which no mapping uses` }];
  }
  const type = typeChange(old, now);
  const from = `${columnType(old)}${type === 'charset' ? ` in ${old.charset}` : ''}${old.nullable ? '' : ' not null'}`;
  const to = `${columnType(now)}${type === 'charset' ? ` in ${now.charset}` : ''}${now.nullable ? '' : ' not null'}`;
  const changes: StructureChange[] = [];
  if (renamed) {
    const kind = mapped ? 'column_renamed' : comesToBe ? 'mapped_column_added' : 'other';
    changes.push({ kind, columns: [old.name, now.name], what: `column ${old.name} was renamed to ${now.name}` });
  }
  if (type !== 'same') {
    const what = `column ${old.name} changed from ${from} to ${to}`;
    const kind = type === 'widened' ? 'type_widened' : type === 'narrowed' ? 'type_narrowed' : 'charset_changed';
    changes.push({ kind: mapped ? kind : 'other', columns, what });
  }
  return changes;
}

/** What the platform does about a change, and whether it trains anew although no row may differ. */
export type Verdict = { readonly effect: SchemaEffect; readonly retrain: boolean };

const weight: Readonly<Record<SchemaEffect, number>> = { recorded: 0, rebuild: 1, held: 2 };

/** The table of DESIGN.md section 4 under each policy. */
export function effectOf(change: Pick<StructureChange, 'kind' | 'rowsRemoved'>, policy: SchemaPolicy): Verdict {
  const adopted: Verdict = { effect: 'rebuild', retrain: policy === 'adopt_and_retrain' };
  switch (change.kind) {
    case 'mapped_column_added':
      return policy === 'ignore' ? { effect: 'recorded', retrain: false } : adopted;
    case 'type_narrowed':
    case 'charset_changed':
      if (policy === 'hold') return { effect: 'held', retrain: false };
      return policy === 'ignore' ? { effect: 'recorded', retrain: false } : adopted;
    case 'column_renamed':
      // Nothing can be read from a name that is gone: to ignore it is to wait for a person.
      return policy === 'adopt' || policy === 'adopt_and_retrain' ? adopted : { effect: 'held', retrain: false };
    case 'column_dropped':
    case 'table_renamed':
    case 'table_truncated':
    case 'table_dropped':
      return { effect: 'held', retrain: false };
    default:
      // Rows that left without an event are found by a comparison of the whole table, whatever the policy.
      return { effect: change.rowsRemoved ? 'rebuild' : 'recorded', retrain: false };
  }
}

export type Judged = Verdict & { readonly kind: SchemaChangeKind; readonly what: string };

/** Clauses in a sentence; a statement may change two hundred columns. */
const maxClauses = 8;

/** All changes of one statement as one: the kind and effect of the weightiest, the clauses of all. Null: nothing changed. */
export function judge(changes: readonly StructureChange[], policy: SchemaPolicy): Judged | null {
  const judged = changes
    .map((change) => ({
      change,
      verdict: effectOf(change, policy),
      rank: change.kind === 'other' ? -1 : schemaChangeKinds.indexOf(change.kind),
    }))
    .sort((a, b) => weight[b.verdict.effect] - weight[a.verdict.effect] || b.rank - a.rank);
  const [first] = judged;
  if (!first) return null;
  const { effect } = first.verdict;
  const clauses = judged.slice(0, maxClauses).map(({ change }) => change.what);
  if (judged.length > maxClauses) clauses.push(`and ${judged.length - maxClauses} more`);
  return {
    kind: first.change.kind,
    effect,
    retrain: effect === 'rebuild' && judged.some(({ verdict }) => verdict.retrain),
    what: clauses.join('; '),
  };
}

/** A sentence for people: what changed in which table, what the platform does and what they can do. */
export function sentence(table: string, { kind, effect, retrain, what }: Judged): string {
  const told = `${table}: ${what}`;
  if (effect === 'recorded') return `${told}: recorded`;
  if (effect === 'rebuild') return `${told}: everything is read again${retrain ? ' and a run is started' : ''}`;
  return `${told}: training is held, serving goes on; ${remedies[kind] ?? 'approve it or map another column'}`;
}

const remedies: Partial<Record<SchemaChangeKind, string>> = {
  type_narrowed: 'look at the rows, then approve',
  charset_changed: 'look at the rows, then approve',
  column_renamed: 'remap the column',
  column_dropped: 'remap the column, or restore it and approve',
  table_renamed: 'remap to the new table, or rename it back and approve',
  table_truncated: 'restore the rows, or approve that the model forgets them',
  table_dropped: 'restore the table and approve, or remap to another',
};
