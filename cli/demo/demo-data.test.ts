import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { planDemo, readRows } from './demo-data.ts';

const rows = ['a', 'b', 'c'].flatMap((label) =>
  Array.from({ length: 200 }, (_, i) => ({ id: `${label}${i}`, text: `text ${label} ${i}`, label })),
);

describe('the plan of a demonstration', () => {
  it('never teaches what it tests, holds one label back and makes mistakes that it later corrects', () => {
    const plan = planDemo(rows);
    const taught = new Set([...plan.first, ...plan.later].map(({ text }) => text));
    expect(plan.heldOut.length).toBeGreaterThan(60);
    expect(plan.heldOut.filter(({ text }) => taught.has(text))).toEqual([]);
    expect(plan.firstLabels).toEqual(['a', 'b']);
    expect(plan.laterLabel).toBe('c');
    expect(plan.later.every(({ label }) => label === 'c')).toBe(true);
    const sent = new Map(plan.first.map(({ id, label }) => [id, label]));
    const truth = new Map(rows.map(({ id, label }) => [id, label]));
    expect(plan.corrections.length).toBeGreaterThan(10);
    for (const { id, label } of plan.corrections) {
      expect(label).toBe(truth.get(id));
      expect(sent.get(id)).not.toBe(label);
    }
    expect([...sent].filter(([id, label]) => truth.get(id) !== label).length).toBe(plan.corrections.length);
  });

  it('is the same for the same rows', () => {
    expect(planDemo(rows)).toEqual(planDemo(rows));
  });

  it('with two labels sends some rows later instead of a label', () => {
    const plan = planDemo(rows.filter(({ label }) => label !== 'c'));
    expect(plan.laterLabel).toBeNull();
    expect(plan.later.length).toBeGreaterThan(20);
  });

  it('refuses a single label', () => {
    expect(() => planDemo(rows.filter(({ label }) => label === 'a'))).toThrow('at least two labels');
  });
});

describe('a file of the user', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mw-demo-'));
  });
  afterAll(async () => await rm(folder, { recursive: true }));

  it('may be JSON Lines or CSV with a byte order mark and quoted line ends', async () => {
    await writeFile(join(folder, 'a.jsonl'), '{"id":"1","text":"x","label":"l"}\n\n{"text":"y","label":"m"}\n');
    expect((await readRows(join(folder, 'a.jsonl'))).map(({ text, label }) => text + label)).toEqual(['xl', 'ym']);
    await writeFile(join(folder, 'a.csv'), '\uFEFFtext,label\r\n"two\nlines, ""quoted""",l\r\n');
    expect(await readRows(join(folder, 'a.csv'))).toMatchObject([{ text: 'two\nlines, "quoted"', label: 'l' }]);
  });

  it('that cannot be read is refused with the row', async () => {
    await writeFile(join(folder, 'b.jsonl'), '{"text":"x","label":"l"}\n{"text":"x"}\n');
    await expect(readRows(join(folder, 'b.jsonl'))).rejects.toThrow('row 2 needs a text and a label');
    await writeFile(join(folder, 'c.jsonl'), 'nonsense\n');
    await expect(readRows(join(folder, 'c.jsonl'))).rejects.toThrow('row 1 cannot be read');
    await expect(readRows(join(folder, 'd.txt'))).rejects.toThrow('.jsonl');
  });
});
