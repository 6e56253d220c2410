import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { judge, median } from '../support/figures.ts';
import { type Published, trainingsPublisher } from './published-trainings.ts';
import { type BaseShape, headOf, layersFor, loraOf, writeBase } from './synthetic-base.ts';

// The next version after a training that changed a head, or what LoRA adds, by the sharding worker's own activities: bytes sent and time, on a model of
// the full size and on one of an eighth. `node bench/store/republish.ts [--gib N] [--rounds N] [--labels N]`

const { values } = parseArgs({
  options: { gib: { type: 'string', default: '1' }, rounds: { type: 'string', default: '3' }, labels: { type: 'string', default: '77' } },
});
const fullBytes = Number(values.gib) * 2 ** 30;
const smaller = 8;
/** Time that may grow with the model: each shard of it is asked for. */
const mostGrowth = 1.5;
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(bytes < 1e6 ? 3 : 1);

const folder = await mkdtemp(join(tmpdir(), 'mw-bench-republish-'));
const publisher = await trainingsPublisher(folder);
try {
  const ways = [
    {
      name: 'head',
      kind: 'encoder',
      hidden: 1_024,
      inner: 4_096,
      labels: Number(values.labels),
      left: (shape: BaseShape) => headOf(shape, Number(values.labels)),
    },
    { name: 'lora', kind: 'causal-lm', hidden: 2_048, inner: 5_632, labels: 0, left: loraOf },
  ] as const;
  for (const { name, left, labels, ...form } of ways) {
    const full = layersFor(form, fullBytes);
    const large = await writeBase(folder, `${name}-large`, full);
    const first = await publisher.publish('bench', large.base, left(full), labels);
    const small = layersFor(form, fullBytes / smaller);
    const little = await writeBase(folder, `${name}-small`, small);
    await publisher.publish('bench', little.base, left(small), labels);
    const onLarge: Published[] = [];
    const onSmall: Published[] = [];
    // The same change on both.
    for (let round = 0; round < Number(values.rounds); round++) {
      onLarge.push(await publisher.publish('bench', large.base, left(small), labels));
      onSmall.push(await publisher.publish('bench', little.base, left(small), labels));
    }
    const whole = await publisher.publish('bench', large.base, left(full), labels);
    const seconds = (published: readonly Published[]): number => median(published.map((one) => one.seconds));
    console.log(`${name}: a model of ${large.bytes} bytes, first published in ${first.seconds.toFixed(2)} s`);
    const show = (what: string, { changedBytes, sentBytes, bodyBytes, requests }: Published, took: number): void =>
      console.log(
        `  ${what.padEnd(20)} ${megabytes(changedBytes).padStart(8)} MB changed ${megabytes(sentBytes).padStart(8)} MB sent: ` +
          `${bodyBytes - changedBytes} bytes more of content and ${sentBytes - bodyBytes} of the heads of ${requests} requests; ${took.toFixed(3)} s`,
      );
    show('all of it changed', whole, whole.seconds);
    for (const published of onLarge) show('on the large model', published, published.seconds);
    for (const published of onSmall) show('on the small model', published, published.seconds);
    const overOf = (bytes: number): number => 100 * (bytes / whole.changedBytes - 1);
    const [content, over] = [overOf(whole.bodyBytes), overOf(whole.sentBytes)];
    const fewer = large.bytes / whole.sentBytes;
    const growth = seconds(onLarge) / seconds(onSmall);
    judge([
      {
        what: `${name}: sent as content are the ${whole.changedBytes} changed bytes + ${content.toFixed(2)} %, manifest included (<= 1 %)`,
        holds: content <= 1,
      },
      {
        what: `${name}: the same with the heads of all requests, + ${over.toFixed(2)} % (<= 1 %)`,
        holds: over <= 1,
      },
      { what: `${name}: ${fewer.toFixed(0)}x fewer bytes than the model has (>= 50x)`, holds: fewer >= 50 },
      {
        what: `${name}: the same change takes ${growth.toFixed(2)}x the time on a model of ${smaller} times the size (<= ${mostGrowth}x)`,
        holds: growth <= mostGrowth,
      },
    ]);
  }
} finally {
  await publisher.close();
  await rm(folder, { recursive: true, force: true });
}
