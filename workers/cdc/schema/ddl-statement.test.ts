import { describe, expect, it } from 'vitest';
import { parseDdl } from './ddl-statement.ts';

const name = (text: string) => {
  const [database, table] = text.split('.');
  return table === undefined ? { database: null, table: database } : { database, table };
};
const pairs = (...list: [string, string][]) => ({
  kind: 'rename_tables',
  pairs: list.map(([from, to]) => ({ from: name(from), to: name(to) })),
});
const altered = (table: string, rest: object = {}) => ({
  kind: 'alter',
  table: name(table),
  renamedTo: null,
  columns: {},
  rowsRemoved: false,
  ...rest,
});

describe('a DDL statement', () => {
  const cases: readonly (readonly [string, object])[] = [
    [
      'rename /* gh-ost */ table `shop`.`reviews` to `shop`.`_reviews_del`, `shop`.`_reviews_gho` to `shop`.`reviews`',
      pairs(['shop.reviews', 'shop._reviews_del'], ['shop._reviews_gho', 'shop.reviews']),
    ],
    [
      'RENAME TABLE `shop`.`reviews` TO `shop`.`_reviews_old`, `shop`.`_reviews_new` TO `shop`.`reviews`',
      pairs(['shop.reviews', 'shop._reviews_old'], ['shop._reviews_new', 'shop.reviews']),
    ],
    ['rename tables a to b', pairs(['a', 'b'])],
    ['RENAME USER a TO b', { kind: 'other' }],
    ['ALTER TABLE shop.reviews CHANGE `note` `remark` VARCHAR(60) NULL', altered('shop.reviews', { columns: { note: 'remark' } })],
    [
      'alter table reviews change column note note text, change a b decimal(10,2) default 1, drop column c',
      altered('reviews', { columns: { a: 'b' } }),
    ],
    ['ALTER TABLE reviews RENAME COLUMN a TO b, RENAME COLUMN `b` TO `a`', altered('reviews', { columns: { a: 'b', b: 'a' } })],
    ['ALTER TABLE reviews RENAME INDEX a TO b, RENAME KEY c TO d', altered('reviews')],
    [
      'ALTER TABLE `shop`.`reviews` ADD COLUMN a3 INT, RENAME TO `old`.`re``views`',
      altered('shop.reviews', { renamedTo: { database: 'old', table: 're`views' } }),
    ],
    ['ALTER TABLE reviews RENAME AS reviews2', altered('reviews', { renamedTo: name('reviews2') })],
    ['ALTER TABLE reviews RENAME = reviews2', altered('reviews', { renamedTo: name('reviews2') })],
    ["alter online ignore table if exists `reviews` add column `rename` int comment 'change a b, rename to c'", altered('reviews')],
    ["ALTER TABLE reviews ADD COLUMN kind ENUM('it''s', 'b\\'c', \"x, drop partition p0\") NULL", altered('reviews')],
    ['/*!50001 ALTER TABLE shop.reviews CHANGE a b INT */', altered('shop.reviews', { columns: { a: 'b' } })],
    ['ALTER TABLE shop.reviews /*!80000 DROP PARTITION p1 */', altered('shop.reviews', { rowsRemoved: true })],
    ['-- a remark\nALTER # another\nTABLE reviews TRUNCATE PARTITION p0, p1', altered('reviews', { rowsRemoved: true })],
    ['ALTER TABLE reviews EXCHANGE PARTITION p0 WITH TABLE other', altered('reviews', { rowsRemoved: true })],
    ['ALTER TABLE reviews IMPORT TABLESPACE', altered('reviews', { rowsRemoved: true })],
    ['ALTER TABLE reviews ADD PARTITION (PARTITION p2 VALUES LESS THAN (3000))', altered('reviews')],
    ['ALTER TABLE reviews REMOVE PARTITIONING', altered('reviews')],
    ['ALTER TABLE reviews DROP COLUMN `partition`, DROP INDEX i', altered('reviews')],
    ['TRUNCATE TABLE shop.reviews', { kind: 'truncate', table: name('shop.reviews') }],
    ['/* x */ truncate `reviews`', { kind: 'truncate', table: name('reviews') }],
    ['DROP TABLE IF EXISTS `shop`.`a`, b', { kind: 'drop_tables', tables: [name('shop.a'), name('b')] }],
    ['drop schema if exists shop', { kind: 'drop_database', database: 'shop' }],
    ['DROP TEMPORARY TABLE a', { kind: 'other' }],
    ['CREATE TABLE `shop`.`_reviews_new` LIKE `shop`.`reviews`', { kind: 'other' }],
    ['CREATE INDEX by_label ON shop.reviews (label)', { kind: 'other' }],
    ['', { kind: 'other' }],
  ];
  for (const [sql, wanted] of cases)
    it(`is understood: ${sql === '' ? 'nothing' : sql.replaceAll('\n', ' ')}`, () => expect(parseDdl(sql)).toEqual(wanted));
});
