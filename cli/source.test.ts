import { describe, expect, it } from 'vitest';
import { filterOf, tableName } from './source.ts';

describe('names on the command line', () => {
  it('are DATABASE.TABLE and nothing else', () => {
    expect(tableName('shop.reviews')).toEqual({ database: 'shop', table: 'reviews' });
    for (const wrong of ['reviews', 'shop.', '.reviews', 'a.b.c']) expect(() => tableName(wrong)).toThrow('is not DATABASE.TABLE');
  });

  it('keep the value of a filter as text, with whatever it has', () => {
    expect(filterOf('side=1=2')).toEqual({ filter: { column: 'side', equals: '1=2' } });
    expect(filterOf('side=')).toEqual({ filter: { column: 'side', equals: '' } });
    expect(filterOf(undefined)).toEqual({});
    expect(() => filterOf('side')).toThrow('is not COLUMN=VALUE');
  });
});
