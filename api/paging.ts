import { Problem } from './problems.ts';

/** A cursor says after which row the next page begins; clients pass it on unread. */
export const cursorAfter = (parts: readonly (string | number)[]): string => Buffer.from(JSON.stringify(parts)).toString('base64url');

export function partsOf(cursor: string | undefined, count: number): (string | number)[] | null {
  if (cursor === undefined) return null;
  try {
    const parts = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')) as unknown;
    if (Array.isArray(parts) && parts.length === count && parts.every((part) => ['string', 'number'].includes(typeof part)))
      return parts as (string | number)[];
  } catch {
    // Answered below like any other wrong cursor.
  }
  throw new Problem('bad_cursor');
}

/** A page of `limit` rows out of `limit + 1` that were asked for. */
export function page<T, U>(rows: readonly T[], limit: number, show: (row: T) => U, key: (row: T) => readonly (string | number)[]) {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return { items: shown.map(show), nextCursor: rows.length > limit && last !== undefined ? cursorAfter(key(last)) : null };
}
