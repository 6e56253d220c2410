import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { residentBytes, sampleEvery } from '../bench/support/process-usage.ts';
import { commitGtid } from '../platform/mysql.ts';
import { Operator, datasetRows, datasetToEqual } from './support/mapped-tables.ts';
import { rootPool } from './support/root-pool.ts';
import { SensingScene, quickPolicy, stories } from './support/sensing-scene.ts';
import { datasetToEqualTable, exclusionsOf, tableAgainstDataset } from './support/table-equals-dataset.ts';

/** Rows that are hard to follow: very many at once, odd ones, such as move, and such as are committed while the clock jumps. */
let scene: SensingScene;

beforeAll(async () => {
  scene = await SensingScene.start();
});
afterAll(() => scene?.stop());
// Nothing of all this may be unreadable.
afterEach(() => scene.check([]));

describe('rows', () => {
  it('60,000 in one transaction, with edits and deletions in it, are learned whole, and a bystander goes on', async () => {
    const large = await scene.make('large');
    const pid = scene.consumer()?.pid ?? 0;
    let peakBytes = 0;
    const stopSampling = sampleEvery(100, () => (peakBytes = Math.max(peakBytes, residentBytes(pid))));
    const meanwhile = scene.writer(scene.bystander, 300);
    await scene.inTransaction(async (connection) => {
      for (let from = 0; from < 60_000; from += 5_000) await scene.insert(large, stories('large', from, from + 5_000), connection);
      await connection.query(
        `UPDATE modelwright.examples SET content = JSON_SET(content, '$.text', CONCAT('edited ', content->>'$.text'))
         WHERE tenant_id = 'large' AND example_id LIKE 's%77'`,
      );
      await connection.query("DELETE FROM modelwright.examples WHERE tenant_id = 'large' AND example_id LIKE 's%3'");
    });
    await scene.equal(large);
    await meanwhile.stop();
    stopSampling();
    expect(await large.latestDatasetRows()).toBe(54_000);
    expect(peakBytes).toBeLessThan(400 * 1_048_576);
    // What is of interest is in the dataset: training on it would take minutes.
    await large.api.call('POST', `/v1/customizations/${large.c}/runs/1:cancel`, {});
    await large.reaches(['cancelled']);
  });

  it('with odd ids and values come through exactly or are left out with a reason', async () => {
    const odd = await scene.make('odd');
    const ids = ['例え', '😀', 'quote"s', 'back\\slash', '{"op":"d"}', '\u00e9', 'e\u0301', "tick'", ' ', '  ', 'x'.repeat(128)];
    const texts = ['𝄞 🇩🇪 👩‍👩‍👧', 'a\u0000b', '\\u0041 \\n "q" \u2028', '</script>\r\n\t', 'שלום \u202e', '漢'.repeat(100_000), '0000-00-00'];
    const rows = [...ids, ...texts.map((_, i) => `text ${i}`)].map((id, i) => ({
      id,
      text: `${i} ${texts[i - ids.length] ?? id}`.slice(0, 100_000),
      label: i % 2 === 0 ? '食べ物 😀' : 'a "quoted" \\ label',
      weight: [0.1, 1e-7, 0.30000000000000004, 999.999][i % 4],
    }));
    const unusable: Readonly<Record<string, [unknown, string]>> = {
      'label is NULL': [{ text: 'A text.', label: null }, '/label invalid_type'],
      'label is a number': [{ text: 'A text.', label: 12 }, '/label invalid_type'],
      'text is missing': [{ label: 'food' }, '/text invalid_type'],
      'text is blank': [{ text: ' \n', label: 'food' }, '/text blank'],
      'text is huge': [{ text: 'huge '.repeat(60_000), label: 'food' }, '/text too_big'],
      'weight is too much': ['{"text": "A text.", "label": "food", "weight": 1e300}', '/weight too_big'],
      'not an object': [['text'], '/ invalid_type'],
    };
    await scene.inTransaction(async (connection) => {
      await scene.insert(odd, [...stories('odd', 0, 30), ...rows], connection);
      // Longer than a number of JavaScript is exact: it comes as text, with all its digits.
      await connection.query('INSERT INTO modelwright.examples (tenant_id, customization_id, example_id, content) VALUES (?, ?, ?, ?)', [
        odd.tenantId,
        odd.c,
        'label is a BIGINT',
        '{"text": "A text.", "label": 18446744073709551615}',
      ]);
      for (const [id, [content]] of Object.entries(unusable))
        await connection.query('INSERT INTO modelwright.examples (tenant_id, customization_id, example_id, content) VALUES (?, ?, ?, ?)', [
          odd.tenantId,
          odd.c,
          id,
          typeof content === 'string' ? content : JSON.stringify(content),
        ]);
    });
    const invalid = "INSERT INTO modelwright.examples (tenant_id, customization_id, example_id, content) VALUES ('odd', 'stories', ?, ?)";
    await expect(scene.pool.query(invalid, [Buffer.from([0xff, 0xfe]), '{}'])).rejects.toThrow(/Incorrect string value/);
    await expect(scene.pool.query(invalid, ['bytes', Buffer.from('{"text":"\xff"}', 'latin1')])).rejects.toThrow(
      /Invalid JSON|CHARACTER SET/,
    );

    const leftOut = (missing: readonly string[]): Promise<unknown> =>
      expect
        .poll(async () => (await tableAgainstDataset(scene.stack, scene.pool, odd)).missing.toSorted(), { timeout: 180_000, interval: 500 })
        .toEqual(missing.toSorted());
    await leftOut(Object.keys(unusable));
    expect(await tableAgainstDataset(scene.stack, scene.pool, odd)).toMatchObject({ extra: [], different: [] });
    const reasons = Object.fromEntries(Object.entries(unusable).map(([id, [, reason]]) => [id, reason]));
    expect(await exclusionsOf(scene.stack, scene.pool, odd)).toEqual(reasons);

    const change = "UPDATE modelwright.examples SET content = JSON_SET(content, '$.label', ?) WHERE tenant_id = 'odd' AND example_id = ?";
    await scene.pool.query(change, ['now a label', 'label is NULL']);
    await scene.pool.query(change, ['\u{10ffff}', 'quote"s']);
    await scene.pool.query("DELETE FROM modelwright.examples WHERE tenant_id = 'odd' AND example_id IN ('😀', ' ', 'e\u0301')");
    await leftOut(Object.keys(unusable).filter((id) => id !== 'label is NULL'));
    await expect
      .poll(() => tableAgainstDataset(scene.stack, scene.pool, odd), { timeout: 180_000, interval: 500 })
      .toMatchObject({ extra: [], different: [] });
  });

  it('of a mapped table keep zero dates, DECIMAL and unsigned BIGINT to the last digit', async () => {
    const root = rootPool(scene.stack);
    const operator = new Operator(scene.stack, root);
    await root.query('CREATE DATABASE shop');
    await root.query(
      `CREATE TABLE shop.odd (number BIGINT UNSIGNED PRIMARY KEY, body TEXT, price DECIMAL(30,10), day DATE, extra JSON, shade ENUM('a','b'))
       CHARSET utf8mb4`,
    );
    const prices = ['12345678901234567890.0123456789', '-0.0000000001'];
    const days = ['0000-00-00', '2026-00-31', '9999-12-31'];
    const rows = stories('shop', 0, 60).map(({ text }, i) => {
      const number = (18_446_744_073_709_551_615n - BigInt(i)).toString();
      return [number, `😀 ${text}`, prices[i % 2], days[i % 3], JSON.stringify({ deep: [null, { big: 1e300 }] }), i % 2 === 0 ? 'a' : null];
    });
    // In one session: a server takes no zero dates unless it is told to.
    const connection = await root.getConnection();
    await connection.query("SET SESSION sql_mode = ''");
    await connection.query('INSERT INTO shop.odd VALUES ?', [rows]);
    connection.release();
    const api = await operator.tenant('shop');
    await operator.grant('shop', 'shop.odd');
    const both = async (): Promise<void> => {
      for (const label of ['price', 'day']) {
        const sql = `SELECT CAST(number AS CHAR) AS id, body AS text, CAST(${label} AS CHAR) AS label FROM shop.odd`;
        await datasetToEqual(scene.stack, root, { tenantId: 'shop', c: label }, sql, 180_000);
      }
    };
    for (const label of ['price', 'day']) {
      const source = { database: 'shop', table: 'odd', columns: { id: 'number', text: 'body', label } };
      await api.call('POST', '/v1/customizations', {
        id: label,
        name: label,
        businessModel: 'text-classification',
        policy: quickPolicy,
        source,
      });
    }
    await both();
    await root.query('UPDATE shop.odd SET price = 0.0000000002, number = number - 1000 WHERE number = 18446744073709551615');
    await root.query("UPDATE shop.odd SET day = '2026-02-28' WHERE number = 18446744073709551614");
    await both();
    const labels = [...(await datasetRows(scene.stack, root, 'shop', 'price')).values()].map(({ label }) => label);
    expect([...new Set(labels)].toSorted()).toEqual([...prices, '0.0000000002'].toSorted());
    await root.end();
  });

  it('whose key or tenant is changed move, and neither tenant keeps or sees what is not its own', async () => {
    const [from, to] = [await scene.make('from'), await scene.make('to')];
    await scene.insert(from, stories('from', 0, 60));
    await scene.insert(to, stories('to', 100, 160));
    await scene.equal(from, to);
    const update = (set: string, where: string) => `UPDATE modelwright.examples SET ${set} WHERE tenant_id = 'from' AND ${where}`;
    await scene.pool.query(update("example_id = CONCAT('renamed-', example_id)", "example_id IN ('s1', 's2', 's3')"));
    const [moved] = await scene.pool.query(update("tenant_id = 'to'", "example_id IN ('s10', 's11', 's12', 's13')"));
    await scene.inTransaction(async (connection) => {
      for (const [old, now] of [
        ['s20', 'between'],
        ['s21', 's20'],
        ['between', 's21'],
      ])
        await connection.query(update('example_id = ?', 'example_id = ?'), [now, old]);
      await connection.query(update("tenant_id = 'to'", "example_id = 's30'"));
      await connection.query("UPDATE modelwright.examples SET tenant_id = 'from' WHERE tenant_id = 'to' AND example_id = 's30'");
    });
    await scene.equal(from, to);
    expect([await from.latestDatasetRows(), await to.latestDatasetRows()]).toEqual([56, 64]);
    const commit = commitGtid(moved) ?? '';
    expect((await from.receipt(commit)).stations[1]?.detail).toBe('4 deleted');
    expect((await to.receipt(commit)).stations[1]?.detail).toBe('4 inserted');
    expect(JSON.stringify(await to.receipt(commit))).not.toContain('"from"');
  });

  it('that are committed while the clock of the source jumps an hour forth and back are ordered by the log', async () => {
    const clock = await scene.make('clock');
    const connection = await scene.pool.getConnection();
    const at = async (seconds: number, work: () => Promise<unknown>): Promise<void> => {
      await connection.query('SET SESSION timestamp = ?', [Math.floor(Date.now() / 1_000) + seconds]);
      await work();
      await sleep(1_100);
    };
    const edit = "UPDATE modelwright.examples SET content = JSON_SET(content, '$.text', ?) WHERE tenant_id = 'clock' AND example_id = ?";
    await at(3_600, () => scene.insert(clock, stories('clock', 0, 45), connection));
    await at(-3_600, () => connection.query(edit, ['Edited an hour earlier.', 's1']));
    await at(3_600, () => connection.query("DELETE FROM modelwright.examples WHERE tenant_id = 'clock' AND example_id IN ('s2', 's3')"));
    await at(-3_600, () => scene.insert(clock, stories('clock', 2, 3), connection));
    await at(0, () => connection.query(edit, ['Edited at last.', 's1']));
    await connection.query('SET SESSION timestamp = DEFAULT');
    connection.release();
    await datasetToEqualTable(scene.stack, scene.pool, clock, 90_000);
    expect(await clock.latestDatasetRows()).toBe(44);
  });
});
