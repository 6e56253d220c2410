import type { ForgettingKey, Residual } from '../../core/forgetting.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { idOf, ofForgetting } from './forgettings.ts';

/** Stands for the end of a legal hold, which has none. */
export const noEnd = new Date('9999-01-01T00:00:00Z');

type LockedRow = RowDataPacket & { object_key: string; bytes: string | number; locked_until: Date };

/** What a forgetting could not remove, for object lock holds it still. */
export type LockedObjects = {
  readonly keys: ReadonlySet<string>;
  readonly bytes: number;
  /** Null: nobody knows. */ readonly until: Date | null;
};

export async function lockedObjects(pool: Pool, key: ForgettingKey): Promise<LockedObjects> {
  const [rows] = await pool.query<LockedRow[]>(
    `SELECT object_key, bytes, locked_until FROM modelwright_control.forgotten_objects WHERE ${ofForgetting} AND locked_until IS NOT NULL`,
    idOf(key),
  );
  const latest = rows.reduce((until, { locked_until }) => (locked_until > until ? locked_until : until), new Date(0));
  return {
    keys: new Set(rows.map(({ object_key }) => object_key)),
    bytes: rows.reduce((sum, { bytes }) => sum + Number(bytes), 0),
    until: latest >= noEnd ? null : latest,
  };
}

/** None where nothing is locked. */
export const lockResidual = ({ keys, bytes, until }: LockedObjects): Residual[] =>
  keys.size === 0
    ? []
    : [
        {
          where: 'object lock of the store',
          what: `${keys.size} objects (${bytes} bytes) of versions that were promoted and are withdrawn or removed now: weights, and files that may show texts`,
          until: until?.toISOString() ?? null,
          note:
            until === null
              ? 'somebody has put a legal hold on them: until it is taken off; the next garbage collection after that removes them'
              : 'nobody is given them; the first garbage collection after that removes them, every six hours',
        },
      ];
