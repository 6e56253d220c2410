import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectDir, resolvePaths } from '../platform/paths.ts';
import { type CliHome, makeCliHome } from './support/cli-home.ts';
import { makeCausalFolder } from './support/tiny-causal.ts';

let home: CliHome;

beforeAll(async () => {
  // A base model of our own is added to it: nobody else's folder gets one.
  home = await makeCliHome({ ownModels: true });
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

/** What a shop answers, in two languages: few enough to be known by heart. */
function conversations(): { messages: { role: string; content: string }[] }[] {
  const replies: readonly (readonly [question: string, reply: string])[] = [
    ['When do you open?', 'We open at nine.'],
    ['Can I pay by card?', 'Yes, by card and in cash.'],
    ['你们几点开门？', '早上九点开门。'],
    ['可以刷卡吗？', '可以，刷卡和现金都行。'],
  ];
  const greetings = ['', 'Hello. ', 'Good morning. ', '你好，', '请问，', 'Excuse me. ', 'Hi! ', 'One question: ', 'Please: ', '早上好，'];
  return replies.flatMap(([question, reply]) =>
    greetings.map((greeting, i) => ({
      messages: [
        ...(i % 2 === 0 ? [{ role: 'system', content: 'You answer for a shop.' }] : []),
        { role: 'user', content: `${greeting}${question}` },
        { role: 'assistant', content: reply },
      ],
    })),
  );
}

describe('conversations', () => {
  it('teach a causal language model that was added, which then replies, and is compared with the next; a wrong base model is refused', async () => {
    const source = makeCausalFolder(resolvePaths(home.env), join(home.folder, 'tiny-llama'));
    await writeFile(
      join(home.folder, 'talks.jsonl'),
      conversations()
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(''),
    );
    const made = (name: string, ...options: string[]) =>
      home.mw([
        'create',
        name,
        '--model',
        'causal-lm-sft',
        '--policy',
        'quietPeriodMs=1000',
        ...options.flatMap((one) => ['--option', one]),
      ]);
    const learned = async (name: string): Promise<void> => {
      const { status, output } = await home.mw(['submit', name, 'talks.jsonl', '--watch']);
      expect(`${output}\nstatus ${status}`).toContain('\nstatus 0');
    };
    const missing = await made('nobase');
    expect(missing.status).not.toBe(0);
    expect(missing.output).toMatch(/baseModel: is needed: .*mw base add/s);
    expect((await made('wrongbase', 'baseModel=all-MiniLM-L6-v2')).status).toBe(0);
    await home.mw(['submit', 'wrongbase', 'talks.jsonl', '--watch']);
    expect((await home.mw(['runs', 'wrongbase'])).output).toContain(
      'all-MiniLM-L6-v2 is an encoder, and this business model starts from a causal',
    );

    const added = await home.mw(['base', 'add', source, '--name', 'tiny-llama', '--languages', 'en,zh']);
    expect(added.output).toContain('tiny-llama is installed (causal-lm, 32 dimensions, 256 tokens)');
    const quick = ['epochs=60', 'learningRate=0.02', 'loraRank=16', 'batchSize=4', 'maxNewTokens=40', 'maxTokens=128'];
    expect((await made('shop', 'baseModel=tiny-llama', ...quick)).status).toBe(0);
    await learned('shop');
    const { output: models } = await home.mw(['models', 'shop']);
    expect(models).toMatch(/^v1 +production +tokenAccuracy .*tiny-llama/m);
    const question = 'Good morning. When do you open?';
    const { output: json } = await home.mw(['predict', 'shop', question, '请问，你们几点开门？', '--json']);
    const { outputs, predictionIds } = JSON.parse(json) as { outputs: object[]; predictionIds: string[] };
    expect(outputs).toMatchObject([
      { text: expect.stringContaining('nine') as string, finish: 'stop' },
      { text: expect.stringContaining('九点') as string, finish: 'stop' },
    ]);

    // Who knows better says so: another example, and another version, which the gate compares with the one that serves.
    const told = await home.mw(['feedback', predictionIds[0] ?? '', question, 'text=We open at nine, but not on Sundays.', '--json']);
    expect(told.status).toBe(0);
    await home.mw(['receipt', (JSON.parse(told.output) as { commit: string }).commit, '--watch']);
    const { output: runs } = await home.mw(['runs', 'shop', '--json']);
    const [second] = (JSON.parse(runs) as { items: { number: number; verdict: { current: number } }[] }).items;
    expect(second).toMatchObject({ number: 2, verdict: { metric: 'tokenAccuracy', currentVersion: 1 } });
    expect(second?.verdict.current).toBeGreaterThan(0.3);
  });
});
