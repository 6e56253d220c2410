import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectDir } from '../platform/paths.ts';
import { type CliHome, makeCliHome } from './support/cli-home.ts';

let home: CliHome;

beforeAll(async () => {
  home = await makeCliHome();
});
afterAll(async () => await home.remove());

describe('a business model of one folder', () => {
  it('is added, learns, is judged and serves as the page says, and no file of the project knows it', async () => {
    const page = await readFile(join(projectDir, 'docs/models/adding-a-business-model.md'), 'utf8');
    const files = [...page.matchAll(/^`(catalogue\/[\w./-]+)`\n\n```\w+\n(.*?)^```/gms)];
    expect(files.map(([, path]) => path)).toHaveLength(6);
    for (const [, path = '', text = ''] of files) {
      await mkdir(dirname(join(home.folder, path)), { recursive: true });
      await writeFile(join(home.folder, path), text);
    }
    const commands = /^```sh\n(.*?)^```/ms.exec(page)?.[1] ?? '';
    expect(commands).toContain('./mw predict');
    const { status, output } = await home.shell(`set -e\n${commands}`);
    expect(`${output}\nstatus ${status}`).toContain('\nstatus 0');
    // The station, the version and both answers, as the commands print them.
    expect(output).toMatch(/serving +[+\d].*v1 answers/);
    expect(output).toMatch(/^v1 +production +accuracy /m);
    expect(output).toMatch(/^food +\d+\.\d % +We ate pasta/m);
    expect(output).toMatch(/^sport +\d+\.\d % +The players/m);

    const { status: asked, output: json } = await home.mw(['predict', 'topics', 'The goalkeeper scored a goal', '--json']);
    expect(asked).toBe(0);
    expect(JSON.parse(json)).toMatchObject({ version: 1, outputs: [{ label: 'sport' }] });
    const { output: runs } = await home.mw(['runs', 'topics', '--json']);
    const [run] = (JSON.parse(runs) as { items: { state: string; metrics: unknown; verdict: { details?: { key: string } } }[] }).items;
    expect(run).toMatchObject({ state: 'succeeded', metrics: { metric: 'accuracy', unit: 'share' } });
    expect(run?.verdict.details?.key).toMatch(/gates/);
  });
});

/** Chinese sentences of three topics, put together from parts. */
function chineseExamples(): { text: string; label: string }[] {
  const topics: Readonly<Record<string, readonly (readonly string[])[]>> = {
    酒店: [
      ['我想订一间', '请帮我取消', '能不能换一间', '附近有没有'],
      ['安静的大床房', '带早餐的双人间', '便宜的酒店', '可以停车的宾馆'],
    ],
    火车: [
      ['我要买一张', '请帮我改签', '怎么退掉', '还有没有'],
      ['去北京的火车票', '明天早上的高铁票', '到上海的卧铺', '下午三点的动车票'],
    ],
    餐馆: [
      ['请推荐一家', '我想预订', '附近哪里有', '晚上想去'],
      ['好吃的火锅店', '人均五十的面馆', '安静的素食餐厅', '川菜馆子'],
    ],
  };
  const ends = ['', '，谢谢', '吗？'];
  return Object.entries(topics).flatMap(([label, [begins = [], things = []]]) =>
    begins.flatMap((begin) => things.flatMap((thing) => ends.map((end) => ({ text: `${begin}${thing}${end}`, label })))),
  );
}

describe('examples in Chinese', () => {
  it('start from the encoder that knows the language, which is shown with its reason, and are served by it', async () => {
    const rows = chineseExamples();
    await writeFile(join(home.folder, 'chinese.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const { status, output } = await home.shell(`set -e
./mw create chinese --model text-classification --policy quietPeriodMs=1000
./mw submit chinese chinese.jsonl --watch`);
    expect(`${output}\nstatus ${status}`).toContain('\nstatus 0');
    const { output: models } = await home.mw(['models', 'chinese', '--json']);
    const [version] = (JSON.parse(models) as { items: { baseModel: object; aliases: string[] }[] }).items;
    expect(version).toMatchObject({ aliases: ['production'], baseModel: { name: 'multilingual-e5-small', languages: ['zh'] } });
    expect(JSON.stringify(version?.baseModel)).toContain('zh 100 %');
    expect((await home.mw(['models', 'chinese'])).output).toContain('multilingual-e5-small (zh)');
    const { output: json } = await home.mw(['predict', 'chinese', '想坐高铁去广州', '有什么好吃的饭店', '住一晚多少钱的房间', '--json']);
    const { outputs } = JSON.parse(json) as { outputs: { label: string }[] };
    expect(outputs.map(({ label }) => label)).toEqual(['火车', '餐馆', '酒店']);
  });
});
