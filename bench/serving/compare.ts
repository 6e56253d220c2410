import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { resolvePaths } from '../../platform/paths.ts';
import { judge, mebibytes, median } from '../support/figures.ts';
import { type Load, closedLoop } from './load.ts';
import { trainServed } from './model.ts';
import { type Server, startOurs, startPeer } from './servers.ts';

// The predictor against FastAPI + uvicorn + transformers with the same encoder and head on the same cores, in one interleaved run:
// `node bench/serving/compare.ts [--seconds S] [--rounds N] [--limit MS]`. Each request is one text of the set's test rows.
// `--models FOLDER`: where trained models are kept from one run to the next.

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    limit: { type: 'string', default: '100' },
    models: { type: 'string' },
  },
});
const [seconds, rounds, limitMs] = [Number(values.seconds), Number(values.rounds), Number(values.limit)];
const concurrencies = [1, 2, 4, 8, 16, 32];
const tenants = 16;
const warmMs = 2_000;

const paths = resolvePaths(process.env);
const folder = await mkdtemp(join(tmpdir(), 'mw-serving-'));
const servers: Server[] = [];
try {
  const { trained, rows } = await trainServed(paths, 'banking77', join(values.models ?? folder, 'banking77'));
  const texts = rows.map(({ text }) => text);
  // In the order in which they will be shown: the peers are asked in the two ways that two cores are used.
  const [f32, int8, ...peers] = [
    await startOurs(trained, 'f32', tenants),
    await startOurs(trained, 'int8', tenants),
    await startPeer(paths, trained, 1, 2),
    await startPeer(paths, trained, 2, 1),
  ] as const;
  servers.push(f32, int8, ...peers);

  const answersOf = async ({ ask }: Server): Promise<string[]> => {
    const labels: string[] = [];
    let next = 0;
    const client = async (): Promise<void> => {
      for (let at = next++; at < texts.length; at = next++) labels[at] = (await ask(texts[at] as string)).label;
    };
    await Promise.all(Array.from({ length: 8 }, client));
    return labels;
  };
  const [own, small, theirs] = [await answersOf(f32), await answersOf(int8), await answersOf(peers[0])];
  const agree = (labels: readonly string[]): number => labels.filter((label, i) => label === theirs[i]).length / texts.length;
  const right = (labels: readonly string[]): string =>
    `${((100 * labels.filter((label, i) => label === rows[i]?.label).length) / texts.length).toFixed(2)} %`;
  console.log(`${texts.length} test texts: right ${right(own)} (f32), ${right(small)} (int8), ${right(theirs)} (FastAPI)`);

  for (const { ask, cpuMs } of servers) await closedLoop(ask, texts, 8, warmMs, cpuMs);
  const measured = new Map<string, Load[]>();
  for (let round = 0; round < rounds; round++)
    for (const concurrency of concurrencies)
      for (const { name, ask, cpuMs } of servers) {
        const key = `${name} ${concurrency}`;
        measured.set(key, [...(measured.get(key) ?? []), await closedLoop(ask, texts, concurrency, seconds * 1_000, cpuMs)]);
      }
  const of = ({ name }: Server, concurrency: number): Load => {
    const loads = measured.get(`${name} ${concurrency}`) ?? [];
    const middle = (figure: (load: Load) => number): number => median(loads.map(figure));
    return {
      concurrency,
      requests: loads.reduce((sum, { requests }) => sum + requests, 0),
      perSecond: middle(({ perSecond }) => perSecond),
      p50Ms: middle(({ p50Ms }) => p50Ms),
      p99Ms: middle(({ p99Ms }) => p99Ms),
      cpuMsPerRequest: middle(({ cpuMsPerRequest }) => cpuMsPerRequest),
    };
  };
  console.log(`\nMedians of ${rounds} interleaved rounds of ${seconds} s; one text a request.\n`);
  console.log('| server | clients | requests/s | p50 ms | p99 ms | CPU ms a request |');
  console.log('|---|---|---|---|---|---|');
  for (const server of servers)
    for (const concurrency of concurrencies) {
      const { perSecond, p50Ms, p99Ms, cpuMsPerRequest } = of(server, concurrency);
      console.log(
        `| ${server.name} | ${concurrency} | ${perSecond.toFixed(0)} | ${p50Ms.toFixed(1)} | ${p99Ms.toFixed(1)} | ${cpuMsPerRequest.toFixed(2)} |`,
      );
    }
  console.log(`\nmemory: ${servers.map((server) => `${server.name} ${mebibytes(server.residentBytes())}`).join(', ')}`);
  /** The most that a server gave while its p99 kept the limit. */
  const within = (server: Server): number =>
    Math.max(
      0,
      ...concurrencies
        .map((concurrency) => of(server, concurrency))
        .filter(({ p99Ms }) => p99Ms <= limitMs)
        .map(({ perSecond }) => perSecond),
    );
  const best = Math.max(...peers.map(within));
  for (const server of servers) console.log(`at a p99 of at most ${limitMs} ms: ${server.name} ${within(server).toFixed(0)} requests/s`);
  const times = (server: Server): string => `${(within(server) / best).toFixed(2)} times the better FastAPI`;
  judge([
    { what: `the same label as FastAPI in at least 99.9 %: ${(100 * agree(own)).toFixed(2)} %`, holds: agree(own) >= 0.999 },
    { what: `f32: at least 3 times the requests/s at an equal p99: ${times(f32)}`, holds: within(f32) >= 3 * best },
    { what: `int8: at least 3 times the requests/s at an equal p99: ${times(int8)}`, holds: within(int8) >= 3 * best },
  ]);
} finally {
  await Promise.all(servers.map((server) => server.stop()));
  await rm(folder, { recursive: true, force: true });
}
