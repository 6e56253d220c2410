import { createServer } from 'node:http';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApiClient, ApiProblem, createApiClient } from '../cli/api-client.ts';
import type { ImportReport, Page, Predictions, Receipt } from '../cli/api-types.ts';
import { type RowDataPacket, createPool } from '../platform/mysql.ts';
import { type TestStack, startTestStack } from '../test/support/engines.ts';
import { eventually } from '../test/support/live-tenant.ts';

let stack: TestStack;
let operator: ApiClient;
let tenant: ApiClient;
let stranger: ApiClient;
const c = 'intents';
const base = `/v1/customizations/${c}`;

const upload = (text: string, type = 'application/x-ndjson', query = ''): Promise<ImportReport> => {
  const body = async function* (): AsyncGenerator<Uint8Array> {
    // In pieces that cut through lines and characters.
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.byteLength; at += 997) yield await Promise.resolve(bytes.subarray(at, at + 997));
  };
  return tenant.upload<ImportReport>(`${base}/examples:import${query}`, type, body());
};
const problemOf = async (call: Promise<unknown>): Promise<ApiProblem> => {
  const error: unknown = await call.then(
    () => new Error('no problem was answered'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof ApiProblem) return error;
  throw error;
};
const total = async (): Promise<number> => {
  let count = 0;
  for (let cursor = ''; ;) {
    const page = await tenant.call<Page<object>>('GET', `${base}/examples?limit=1000${cursor}`);
    count += page.items.length;
    if (page.nextCursor === null) return count;
    cursor = `&cursor=${page.nextCursor}`;
  }
};

beforeAll(async () => {
  stack = await startTestStack({ engines: ['mysql', 's3'], services: ['api'] });
  const url = `http://127.0.0.1:${stack.config.settings.MW_API_PORT}`;
  operator = createApiClient(url, stack.config.operatorKey);
  const keyOf = async (id: string): Promise<string> => (await operator.call<{ key: string }>('POST', '/v1/tenants', { id, name: id })).key;
  tenant = createApiClient(url, await keyOf('acme'));
  stranger = createApiClient(url, await keyOf('other'));
  await tenant.call('POST', '/v1/customizations', { id: c, name: 'Intents', businessModel: 'text-classification' });
});
afterAll(async () => await stack.remove());

describe('an import', () => {
  it('stores 1,993 of 2,000 lines and names the 7 bad ones by line and pointer', async () => {
    const lines = Array.from({ length: 2_000 }, (_, i) =>
      JSON.stringify({ id: `e${i}`, text: `Text ${i} with ä and 你好`, label: `l${i % 3}` }),
    );
    lines[9] = '{"id":"x","text":"no label"}';
    lines[99] = 'not json';
    lines[199] = '{"id":"x","text":"","label":"l"}';
    lines[299] = '{"id":"x","text":"t","label":"l","colour":"red"}';
    lines[399] = '["an","array"]';
    lines[499] = '{"id":"has space","text":"t","label":"l"}';
    lines[1_999] = '{"id":"x","text":7,"label":"l"}';
    const report = await upload(lines.join('\n'));
    expect(report).toMatchObject({ stored: 1_993, updated: 0, rejected: 7 });
    expect(report.errors.map(({ line, pointer }) => [line, pointer])).toEqual([
      [10, '/label'],
      [100, ''],
      [200, '/text'],
      [300, '/colour'],
      [400, ''],
      [500, '/id'],
      [2_000, '/text'],
    ]);
    expect(report.commits).toHaveLength(2);
    expect(await total()).toBe(1_993);
    expect(JSON.stringify(report)).not.toContain('Text 10 ');
  });

  it('of the same rows again stores nothing twice, and a dry run stores nothing', async () => {
    expect(
      await upload('{"id":"e1","text":"other","label":"l"}\n{"id":"new","text":"t","label":"l"}\n', undefined, '?dryRun=1'),
    ).toMatchObject({ stored: 2 });
    expect(await total()).toBe(1_993);
    expect(await upload('{"id":"e1","text":"other","label":"l"}')).toMatchObject({ stored: 0, updated: 1 });
    expect(await total()).toBe(1_993);
  });

  it('reads CSV with a byte order mark, quoted line ends and numbers, and names bad records', async () => {
    const csv = '\uFEFFid,text,label,weight\r\nc1,"two\r\nlines, ""quoted""",l,2.5\r\nc2,,l,\r\nc3,fine,l,\r\n';
    const report = await upload(csv, 'text/csv');
    expect(report).toMatchObject({ stored: 2, rejected: 1 });
    expect(report.errors[0]).toMatchObject({ pointer: '/text' });
    expect(await tenant.call('GET', `${base}/examples/c1`)).toMatchObject({ text: 'two\r\nlines, "quoted"', label: 'l', weight: 2.5 });
  });

  it('refuses what is not NDJSON, not UTF-8 or of another type, and says what to do', async () => {
    expect(await problemOf(upload('just words\nand more\n'))).toMatchObject({ status: 400, code: 'not_ndjson' });
    expect(await problemOf(upload('{}', 'application/xml'))).toMatchObject({ status: 415, code: 'unsupported_media_type' });
    const body = async function* (): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(
        Buffer.concat([Buffer.from('{"id":"u","text":"'), Buffer.from([0xff, 0xfe]), Buffer.from('","label":"l"}\n')]),
      );
    };
    const bad = await problemOf(tenant.upload(`${base}/examples:import`, 'application/x-ndjson', body()));
    expect(bad.message).toContain('line 1 : the line is not UTF-8');
  });
});

describe('a write', () => {
  const put = (text: string, key: string): Promise<{ commit: string; text: string }> =>
    tenant.call('PUT', `${base}/examples/idem`, { text, label: 'l' }, { 'idempotency-key': key });

  it('answers with its commit, whose receipt is there at once', async () => {
    const { commit } = await put('a', 'k0');
    const receipt = await tenant.call<Receipt>('GET', `/v1/receipts/${commit}`);
    expect(receipt.stations[0]).toMatchObject({ name: 'committed' });
    expect(receipt.stations[0]?.at).not.toBeNull();
    expect(receipt.stations.slice(1).every(({ at }) => at === null)).toBe(true);
  });

  it('with one Idempotency-Key happens once, also when it is sent many times at once', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => put('once', 'k1')));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    const commits = new Set(answers.map(({ commit }) => commit).filter((commit) => commit !== null));
    expect(commits.size).toBe(1);
  });

  it('with a used Idempotency-Key and another body is refused', async () => {
    await put('first', 'k2');
    expect(await problemOf(put('second', 'k2'))).toMatchObject({ status: 422, code: 'idempotency_key_reused' });
  });

  it('with the ETag of an older version is refused', async () => {
    expect(await problemOf(tenant.call('PUT', `${base}/examples/idem`, { text: 'x', label: 'l' }, { 'if-match': '"old"' }))).toMatchObject({
      status: 412,
      code: 'version_conflict',
    });
  });
});

describe('a wrong request', () => {
  it('names the field and what is allowed there', async () => {
    const create = (body: object) =>
      problemOf(tenant.call('POST', '/v1/customizations', { id: 'w', name: 'W', businessModel: 'text-classification', ...body }));
    const unknownModel = await create({ businessModel: 'magic' });
    expect(unknownModel).toMatchObject({ status: 422, code: 'unknown_business_model' });
    expect(unknownModel.message).toContain('text-classification');
    expect((await create({ options: { epocs: 3 } })).message).toContain('/options/epocs');
    expect((await create({ options: { maxTokens: 9_999 } })).message).toContain('/options/maxTokens');
    expect((await create({ policy: { quietPeriodMs: -1 } })).message).toContain('/policy/quietPeriodMs');
    expect((await create({ policy: { windowCron: '61 * * * *' } })).message).toContain('minute');
    expect((await create({ id: 'Not An Id' })).message).toContain('/id');
    expect(await create({ id: c })).toMatchObject({ status: 409, code: 'exists' });
    expect(await problemOf(tenant.call('POST', `${base}/examples`, { text: 'x'.repeat(100_001), label: 'l' }))).toMatchObject({
      code: 'invalid_example',
    });
    expect(await problemOf(tenant.call('POST', `${base}:predict`, { inputs: [{ text: 'x' }] }))).toMatchObject({
      status: 409,
      code: 'no_model_yet',
    });
  });

  it('without a key, or with one for other things, is refused', async () => {
    expect(await problemOf(createApiClient(tenant.url, 'wrong').call('GET', '/v1/customizations'))).toMatchObject({ status: 401 });
    expect(await problemOf(tenant.call('POST', '/v1/tenants', { id: 'x', name: 'x' }))).toMatchObject({ status: 403 });
    expect(await problemOf(operator.call('GET', '/v1/customizations'))).toMatchObject({ status: 403 });
  });

  it('for what belongs to another tenant is answered as for what does not exist', async () => {
    const { commit } = await tenant.call<{ commit: string }>('PUT', `${base}/examples/secret`, { text: 'x', label: 'l' });
    const routes: [string, string, unknown?][] = [
      ['GET', base],
      ['PATCH', base, { name: 'mine' }],
      ['DELETE', base],
      ['GET', `${base}/examples`],
      ['GET', `${base}/examples/secret`],
      ['PUT', `${base}/examples/secret`, { text: 'y', label: 'l' }],
      ['DELETE', `${base}/examples/secret`],
      ['GET', `${base}/examples:export`],
      ['GET', `${base}/runs`],
      ['GET', `${base}/models`],
      ['GET', `${base}/status`],
      ['GET', `${base}/readiness`],
      ['POST', `${base}:predict`, { inputs: [{ text: 'x' }] }],
      ['POST', `${base}:retrain`, {}],
      ['POST', `${base}:verify`, {}],
      ['GET', `${base}/verifications`],
      ['GET', `${base}/models/1/examples`],
      ['GET', `${base}/examples/secret/models`],
      ['GET', `/v1/receipts/${commit}`],
    ];
    for (const [method, path, body] of routes) {
      const { status, message } = await problemOf(stranger.call(method, path, body));
      const absent = await problemOf(
        stranger.call(method, path.replace(c, 'absent').replace(commit, commit.replace(/:\d+$/, ':999999')), body),
      );
      expect(`${method} ${path} ${status}`).toBe(`${method} ${path} 404`);
      expect(absent.status).toBe(404);
      expect(message.replaceAll(c, 'absent').replace(commit, '')).toBe(absent.message.replace(/[0-9a-f-]{36}:999999/, ''));
    }
  });
});

describe('quotas of a tenant', () => {
  const quotasOf = async (id: string): Promise<unknown> => (await operator.call<{ quotas: unknown }>('GET', `/v1/tenants/${id}`)).quotas;
  const touched = async (): Promise<string> => {
    const pool = createPool(stack.config);
    try {
      const [rows] = await pool.query<(RowDataPacket & { at: string })[]>(
        "SELECT CAST(MIN(updated_at) AS CHAR) AS at FROM modelwright.customizations WHERE tenant_id = 'acme'",
      );
      return rows[0]?.at ?? '';
    } finally {
      await pool.end();
    }
  };

  it('have known names and numbers that make sense, and another is refused with the names', async () => {
    for (const [method, path, body] of [
      ['POST', '/v1/tenants', { id: 'limited', name: 'Limited' }],
      ['PATCH', '/v1/tenants/acme', {}],
    ] as const) {
      const problem = await problemOf(operator.call(method, path, { ...body, quotas: { gpus: 3, concurrentTrainings: 1 } }));
      expect(problem).toMatchObject({ status: 400, code: 'invalid_request' });
      expect(problem.message).toContain('/quotas/gpus: is no quota: there are concurrentTrainings, gpuSecondsPerDay and storageBytes');
    }
    for (const quotas of [
      { concurrentTrainings: 1.5 },
      { concurrentTrainings: -1 },
      { gpuSecondsPerDay: -1 },
      { gpuSecondsPerDay: '9' },
      { storageBytes: -1 },
    ])
      expect(await problemOf(operator.call('PATCH', '/v1/tenants/acme', { quotas }))).toMatchObject({ status: 400 });
    expect(await quotasOf('acme')).toEqual({});
    const made = await operator.call('POST', '/v1/tenants', { id: 'limited', name: 'Limited', quotas: { gpuSecondsPerDay: 3_600 } });
    expect(made).toMatchObject({ quotas: { gpuSecondsPerDay: 3_600 } });
    expect(await problemOf(tenant.call('PATCH', '/v1/tenants/acme', { quotas: {} }))).toMatchObject({ status: 403 });
  });

  it('touch every customization when they change, so that the log tells the workflow; a new name does not', async () => {
    const before = await touched();
    await operator.call('PATCH', '/v1/tenants/acme', { name: 'Acme' });
    expect(await touched()).toBe(before);
    await operator.call('PATCH', '/v1/tenants/acme', { quotas: { concurrentTrainings: 2 } });
    expect(await quotasOf('acme')).toEqual({ concurrentTrainings: 2 });
    expect(await touched()).not.toBe(before);
    await operator.call('PATCH', '/v1/tenants/acme', { quotas: {} });
    expect(await quotasOf('acme')).toEqual({});
  });
});

describe('a run', () => {
  it('shows its pause and its GPU seconds; pause and resume of one that has ended are refused', async () => {
    const pool = createPool(stack.config);
    const insert = (number: number, state: string, paused: object | null, gpuSeconds: number | null): Promise<unknown> =>
      pool.query(
        `INSERT INTO modelwright_control.runs (tenant_id, customization_id, number, request_key, state, trigger_kind, paused, gpu_seconds)
         VALUES ('acme', ?, ?, ?, ?, 'changes', ?, ?)`,
        [c, number, `r${number}`, state, paused && JSON.stringify(paused), gpuSeconds],
      );
    try {
      await insert(1, 'succeeded', null, null);
      await insert(2, 'training', { sinceMs: Date.parse('2026-03-02T12:00:00Z'), by: 'ann', reason: null }, 7.5);
    } finally {
      await pool.end();
    }
    expect(await tenant.call('GET', `${base}/runs/1`)).toMatchObject({ paused: null, gpuSeconds: null });
    expect(await tenant.call('GET', `${base}/runs/2`)).toMatchObject({
      state: 'training',
      paused: { since: '2026-03-02T12:00:00.000Z', by: 'ann', reason: null },
      gpuSeconds: 7.5,
    });
    for (const verb of ['pause', 'resume', 'cancel']) {
      const ended = await problemOf(tenant.call('POST', `${base}/runs/1:${verb}`, {}));
      expect(ended).toMatchObject({ status: 409, code: 'refused', message: 'run 1 has ended already: succeeded' });
      expect(await problemOf(tenant.call('POST', `${base}/runs/9:${verb}`, {}))).toMatchObject({ status: 404 });
      expect(await problemOf(stranger.call('POST', `${base}/runs/2:${verb}`, {}))).toMatchObject({ status: 404 });
      expect(await problemOf(tenant.call('POST', `${base}/runs/1:${verb}`, { because: 'x' }))).toMatchObject({ status: 400 });
    }
  });
});

describe('business models with other examples', () => {
  const create = (id: string, businessModel: string, options: object = {}): Promise<{ options: object }> =>
    tenant.call('POST', '/v1/customizations', { id, name: id, businessModel, options });
  const put = (id: string, example: string, content: object): Promise<unknown> =>
    tenant.call('PUT', `/v1/customizations/${id}/examples/${example}`, content);
  const readiness = (id: string): Promise<object> => tenant.call('GET', `/v1/customizations/${id}/readiness`);

  it('are counted by the labels that their examples have, several or none', async () => {
    await create('topics', 'multi-label-classification');
    await put('topics', 'a', { text: 'one', labels: ['x', 'y'] });
    await put('topics', 'b', { text: 'ONE ', labels: ['y', 'x', 'z'] });
    await put('topics', 'c', { text: 'two', labels: [] });
    expect(await readiness('topics')).toMatchObject({
      ready: false,
      examples: 3,
      labels: [
        { label: 'x', examples: 2 },
        { label: 'y', examples: 2 },
        { label: 'z', examples: 1 },
      ],
      duplicates: 1,
      conflicts: 1,
    });
    await create('places', 'entity-extraction');
    const entities = [
      { start: 0, end: 2, label: 'city' },
      { start: 3, end: 5, label: 'city' },
    ];
    await put('places', 'a', { text: '北京和上海', entities });
    expect(await readiness('places')).toMatchObject({ examples: 1, labels: [{ label: 'city', examples: 1, minimum: 8 }] });
    await create('scores', 'text-scoring');
    await put('scores', 'a', { text: 'good', score: 4.5 });
    expect(await readiness('scores')).toMatchObject({ labels: [], reasons: ['at least 30 examples are needed, there are 1'] });
  });

  it('are checked beyond their schema, and told by the field', async () => {
    const overlap = [
      { start: 0, end: 3, label: 'a' },
      { start: 2, end: 4, label: 'b' },
    ];
    const problem = await problemOf(put('places', 'b', { text: 'abcd', entities: overlap }));
    expect(problem).toMatchObject({ status: 422, code: 'invalid_example' });
    expect(problem.message).toContain('/entities');
    expect((await problemOf(put('topics', 'd', { text: 'x', labels: ['a', 'a'] }))).message).toContain('/labels');
  });

  it('take lists in a CSV file as JSON', async () => {
    const csv = 'id,text,labels\r\nv1,fine,"[""x"",""y""]"\r\nv2,bad,x\r\n';
    const body = async function* (): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(Buffer.from(csv));
    };
    const report = await tenant.upload<ImportReport>('/v1/customizations/topics/examples:import', 'text/csv', body());
    expect(report).toMatchObject({ stored: 1, rejected: 1 });
    expect(report.errors[0]).toMatchObject({ pointer: '/labels' });
    expect(await tenant.call('GET', '/v1/customizations/topics/examples/v1')).toMatchObject({ labels: ['x', 'y'] });
  });

  it('say which fields `predict` takes', async () => {
    await create('faq', 'text-similarity');
    const ask = (inputs: unknown[]): Promise<ApiProblem> =>
      problemOf(tenant.call('POST', '/v1/customizations/faq:predict', { inputs, version: 1 }));
    const wrong = await ask([{ question: 'x' }, { text: 'x' }]);
    expect(wrong).toMatchObject({ status: 400, code: 'invalid_request' });
    expect(wrong.message).toContain('/inputs/1');
    // What fits goes on to the predictor, which does not run here.
    expect(await ask([{ question: 'x' }, 'a plain text'])).toMatchObject({ status: 503 });
  });

  it('take a tier for several options, which those that are named beside it overrule', async () => {
    expect((await create('tiered', 'text-classification', { tier: 'accurate', epochs: 1 })).options).toMatchObject({
      tier: 'accurate',
      method: 'full',
      epochs: 1,
    });
    const { options } = await tenant.call<{ options: object }>('PATCH', '/v1/customizations/tiered', { options: { tier: 'fast' } });
    expect(options).toMatchObject({ tier: 'fast', method: 'head' });
    expect(options).not.toHaveProperty('epochs');
  });
});

describe('feedback', () => {
  // As long as an id may be: it is part of the prediction's.
  const news = `news-${'n'.repeat(59)}`;
  type Stored = { customization: string; version: number; example: string; commit: string | null };
  const predicted = new Map<string, string>();
  const feedback = (id: string, body: object, by = tenant, headers: Record<string, string> = {}): Promise<Stored> =>
    by.call('POST', `/v1/predictions/${encodeURIComponent(id)}:feedback`, body, headers);
  const idOf = (text: string): string => predicted.get(text) ?? '';
  const texts = ['Shares rose 上涨 🙂', 'The match was drawn', 'Soup with bread'];

  /** The predictor does not run here: this one answers in its place, that all is sport, or that it has too much to do. */
  const predictOnce = async (by: ApiClient, inputs: readonly string[], busy = false): Promise<Predictions> => {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const asked = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { version: number; inputs: object[] };
        response.setHeader('content-type', 'application/json');
        if (busy) {
          response
            .setHeader('retry-after', '7')
            .writeHead(503)
            .end(JSON.stringify({ detail: '4000 texts wait', overloaded: true }));
          return;
        }
        const outputs = asked.inputs.map(() => ({ label: 'sport', score: 0.9 }));
        response.end(JSON.stringify({ version: asked.version, outputs }));
      });
    });
    await once(server.listen(Number(new URL(stack.config.predictorUrl).port), '127.0.0.1'), 'listening');
    try {
      return await by.call<Predictions>('POST', `/v1/customizations/${news}:predict`, { inputs, version: 7 });
    } finally {
      server.closeAllConnections();
      await once(server.close(), 'close');
    }
  };

  it('has an id for each answer, which is stable, of one tenant, and holds no text', async () => {
    for (const owner of [tenant, stranger])
      await owner.call('POST', '/v1/customizations', { id: news, name: 'News', businessModel: 'text-classification' });
    const { outputs, predictionIds } = await predictOnce(tenant, texts);
    expect(outputs).toHaveLength(3);
    expect(new Set(predictionIds).size).toBe(3);
    expect((await predictOnce(tenant, [...texts].reverse())).predictionIds).toEqual([...predictionIds].reverse());
    const others = (await predictOnce(stranger, texts)).predictionIds;
    expect(others.filter((id) => predictionIds.includes(id))).toEqual([]);
    texts.forEach((text, i) => predicted.set(text, predictionIds[i] ?? ''));
  });

  it('is refused with a problem of its own while too many wait', async () => {
    expect(await problemOf(predictOnce(tenant, texts, true))).toMatchObject({
      status: 503,
      code: 'predictor_overloaded',
      message: expect.stringContaining('4000 texts wait') as string,
    });
  });

  it('becomes an example, with a commit that has a receipt; told again it changes nothing, told otherwise it corrects', async () => {
    const [text = ''] = texts;
    const told = await feedback(idOf(text), { input: { text }, answer: { label: 'business', weight: 2 } });
    expect(told).toMatchObject({ customization: news, version: 7 });
    expect((await tenant.call<Receipt>('GET', `/v1/receipts/${told.commit}`)).stations[0]).toMatchObject({ name: 'committed' });
    const example = (): Promise<object> => tenant.call('GET', `/v1/customizations/${news}/examples/${told.example}`);
    expect(await example()).toMatchObject({ text, label: 'business', weight: 2 });
    const again = await feedback(idOf(text), { input: text, answer: { label: 'business', weight: 2 } });
    expect(again).toMatchObject({ example: told.example, commit: null });
    await feedback(idOf(text), { input: text, answer: { label: 'economy' } });
    expect(await example()).toMatchObject({ label: 'economy' });
    const key = { 'idempotency-key': 'told-once' };
    const [second = ''] = texts.slice(1);
    const once1 = await feedback(idOf(second), { input: second, answer: { label: 'sport' } }, tenant, key);
    expect(once1.commit).not.toBeNull();
    expect(await feedback(idOf(second), { input: second, answer: { label: 'sport' } }, tenant, key)).toEqual(once1);
    const { items } = await tenant.call<Page<object>>('GET', `/v1/customizations/${news}/examples`);
    expect(items).toHaveLength(2);
  });

  it('is one for a text, whether it was told or submitted, by which version or how often', async () => {
    const [text = ''] = texts;
    const { ids } = await tenant.call<{ ids: string[] }>('POST', `/v1/customizations/${news}/examples`, { text, label: 'economy' });
    expect((await feedback(idOf(text), { input: text, answer: { label: 'economy' } })).example).toBe(ids[0]);
  });

  it("with an id that is unknown, or another tenant's, is told nothing", async () => {
    const text = texts[2] ?? '';
    const body = { input: text, answer: { label: 'food' } };
    const real = idOf(text);
    const foreign = await problemOf(feedback(real, body, stranger));
    expect(foreign).toMatchObject({ status: 404, code: 'not_found' });
    for (const id of [real.replace(news, 'absent'), `${real.slice(0, -1)}${real.endsWith('A') ? 'B' : 'A'}`, 'nonsense', 'p1.news.1.x.y'])
      for (const by of [tenant, stranger]) {
        const { status, message } = await problemOf(feedback(id, body, by));
        expect([status, message]).toEqual([404, foreign.message]);
      }
    // Nor whether the rest of the request is right.
    expect((await problemOf(feedback(real, { nothing: true }, stranger))).message).toBe(foreign.message);
    expect(await problemOf(feedback(real, body, operator))).toMatchObject({ status: 403 });
  });

  it('of the wrong shape names the field, and stores nothing', async () => {
    const text = texts[2] ?? '';
    const wrong = async (body: object): Promise<string> => {
      const { status, message } = await problemOf(feedback(idOf(text), body));
      expect(message).not.toContain('Soup');
      return `${status} ${message}`;
    };
    const answer = { label: 'food' };
    expect(await wrong({ answer })).toMatch(/^400 .*\/input/s);
    expect(await wrong({ input: text })).toMatch(/^400 .*\/answer/s);
    expect(await wrong({ input: text, answer: 'food' })).toMatch(/^400 .*\/answer/s);
    expect(await wrong({ input: text, answer, more: 1 })).toMatch(/^400 .*\/more/s);
    expect(await wrong({ input: { question: text }, answer })).toMatch(/^400 .*\/input/s);
    expect(await wrong({ input: `${text}!`, answer })).toMatch(/^422 .*\/input: is not what this prediction was asked/s);
    expect(await wrong({ input: text, answer: {} })).toMatch(/^422 .*\/answer\/label/s);
    expect(await wrong({ input: text, answer: { label: 7 } })).toMatch(/^422 .*\/answer\/label/s);
    expect(await wrong({ input: text, answer: { label: 'food', colour: 'red' } })).toMatch(/^422 .*\/answer\/colour/s);
    expect(await wrong({ input: text, answer: { label: 'food', id: 'mine' } })).toMatch(/^422 .*\/answer\/id/s);
    expect(await wrong({ input: text, answer: { label: 'food', text: 'x' } })).toMatch(/^422 .*\/answer\/text/s);
    const { items } = await tenant.call<Page<{ text: string }>>('GET', `/v1/customizations/${news}/examples`);
    expect(items.map((item) => item.text)).not.toContain(text);
  });

  it('after its customization was deleted is for something that does not exist', async () => {
    await tenant.call('DELETE', `/v1/customizations/${news}`);
    const text = texts[2] ?? '';
    expect(await problemOf(feedback(idOf(text), { input: text, answer: { label: 'food' } }))).toMatchObject({ status: 404 });
  });
});

describe('kill -9 of the API', () => {
  it('in the middle of an import loses nothing that was acknowledged, and the import can be repeated', async () => {
    await tenant.call('POST', '/v1/customizations', { id: 'large', name: 'Large', businessModel: 'text-classification' });
    const rows = 20_000;
    const path = '/v1/customizations/large/examples:import';
    const body = async function* (): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < rows; at += 500) {
        yield Buffer.from(
          Array.from({ length: 500 }, (_, i) => `{"id":"r${at + i}","text":"text ${at + i}","label":"l${i % 2}"}\n`).join(''),
        );
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    const first = tenant.upload(path, 'application/x-ndjson', body()).catch(() => 'broken off');
    await new Promise((resolve) => setTimeout(resolve, 400));
    stack.kill('api', 'SIGKILL');
    expect(await first).toBe('broken off');
    await eventually('the API to be back', () => tenant.call<object>('GET', '/v1/customizations'), 60_000);
    const report = await tenant.upload<ImportReport>(path, 'application/x-ndjson', body());
    expect(report.stored + report.updated).toBe(rows);
    const { labels } = await tenant.call<{ labels: { examples: number }[] }>('GET', '/v1/customizations/large/readiness');
    expect(labels.reduce((sum, { examples }) => sum + examples, 0)).toBe(rows);
  });
});
