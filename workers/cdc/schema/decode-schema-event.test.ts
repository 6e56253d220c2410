import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { judge, structureChanges } from '../../../core/structure-change.ts';
import type { TableColumns } from '../../../core/table-structure.ts';
import { projectDir } from '../../../platform/paths.ts';
import { type TableEvent, decodeSchemaEvent } from './decode-schema-event.ts';

type Recorded = { readonly statement: string; readonly sql: string; readonly events: readonly object[] };

/** What Debezium 3.6.1 sent for real statements on MySQL 9.7 (store.only.captured.tables.ddl=false). */
const recorded = readFileSync(join(projectDir, 'test', 'recorded', 'debezium-schema-events.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Recorded);

/** Events about one table, as a consumer that only knows that table keeps them. */
function eventsOf(statement: string, table = 'reviews'): TableEvent[] {
  const found = recorded.find((one) => one.statement === statement);
  if (!found) throw new Error(`nothing was recorded for ${statement}`);
  return found.events
    .flatMap((event) => {
      const decoded = decodeSchemaEvent({ value: Buffer.from(JSON.stringify(event)) });
      return decoded.kind === 'events' ? decoded.events : [];
    })
    .filter((event) => event.table === null || event.table === table);
}

/** Every statement in its order, as a mapping of id, body, label and shop_id sees it. */
function history(policy: 'hold' | 'adopt' = 'hold'): Record<string, string> {
  let columns: TableColumns | null = null;
  const told: Record<string, string> = {};
  for (const { statement } of recorded) {
    const lines = eventsOf(statement).map(({ change }) => {
      if (change.kind !== 'structure' && change.kind !== 'found')
        return change.kind === 'renamed' ? `renamed to ${change.to}` : change.kind;
      const before = columns;
      columns = change.columns;
      if (change.kind === 'found' || !before) return 'found';
      const changes = structureChanges(before, change.columns, ['id', 'body', 'label', 'shop_id'], change.renames);
      const judged = judge(changes, policy);
      return judged ? `${judged.kind}: ${judged.what}` : change.rowsRemoved ? 'rows removed' : 'same structure';
    });
    told[statement] = lines.join(' + ');
  }
  return told;
}

describe('recorded schema changes', () => {
  it('mean for a mapped table what the statements did', () => {
    expect(history()).toMatchObject({
      snapshot: 'found',
      add: 'column_added: column note (varchar(50)) was added',
      widen: 'type_widened: column label changed from varchar(20) to varchar(40)',
      narrow: 'type_narrowed: column label changed from varchar(40) to varchar(10)',
      charset: expect.stringContaining(
        'charset_changed: column body changed from varchar(200) in utf8mb4 not null to varchar(200) in latin1 not null',
      ),
      charsetcol: 'charset_changed: column label changed from varchar(10) in latin1 to varchar(10) in utf8mb4',
      change: 'other: column note was renamed to remark; column note changed from varchar(50) to varchar(60)',
      renamecol: 'other: column remark was renamed to note',
      generated: expect.stringContaining('column_added: column head (varchar(10)) was added; column kind (enum of 2) was added'),
      enumwiden: 'other: column kind changed from enum of 2 to enum of 3',
      index: '',
      index2: 'same structure',
      drop: 'other: column note was dropped, which no mapping uses',
      partition: 'same structure',
      addpart: 'same structure',
      truncpart: 'rows removed',
      droppart: 'rows removed',
      removepart: 'same structure',
      rename: 'renamed to shop.reviews2',
      renameback: 'same structure',
      engine: 'same structure',
      versioned: 'other: column a3 was dropped, which no mapping uses',
      dropdb: 'dropped',
    });
  });

  it('of gh-ost and pt-online-schema-change are one change of the table and nothing else', () => {
    const told = history();
    expect(['gho1', 'gho2', 'gho3', 'gho5', 'gho7'].map((statement) => told[statement])).toEqual([
      '',
      '',
      '',
      'column_added: column extra (int) was added',
      '',
    ]);
    expect(['pt1', 'pt2', 'pt4', 'pt6'].map((statement) => told[statement])).toEqual([
      '',
      '',
      'other: column extra was dropped, which no mapping uses',
      '',
    ]);
  });

  it('tell a table that was renamed away from one that was swapped with another', () => {
    const told = history();
    expect(told['alterrename']).toBe('renamed to shop.reviews9');
    expect(told['renameback2']).toContain('column a3 (int) was added');
    expect(told['swap']).toMatch(/^column_dropped: .*column body was dropped.*column shop_id was dropped/);
    expect(told['swapback']).toMatch(/^type_narrowed: column id changed from int not null.*column body .varchar.200.. was added/);
  });

  it('tell drops one table at a time, and a dropped database as all of its tables', () => {
    const told = history();
    expect([told['dropboth'], told['droptable'], told['dropdb']]).toEqual(['dropped', 'dropped', 'dropped']);
    expect(eventsOf('dropboth', 'other').map(({ change }) => change.kind)).toEqual(['dropped']);
  });

  it('ignore the statements that a snapshot writes for itself', () => {
    expect(eventsOf('snapshot').map(({ change }) => change.kind)).toEqual(['found']);
  });

  it('are parked with a reason if they cannot be read, and never quote the event', () => {
    const reason = (value: string) => decodeSchemaEvent({ value: Buffer.from(value) });
    expect(reason('{"secret"')).toEqual({ kind: 'undecodable', reason: 'the value is not JSON' });
    expect(reason('{"a":1}')).toMatchObject({ kind: 'undecodable' });
    expect(reason('{"ddl":"ALTER TABLE t ADD c INT","source":{}}')).toMatchObject({ kind: 'undecodable' });
    expect(decodeSchemaEvent({ value: null })).toEqual({ kind: 'events', events: [] });
  });
});
