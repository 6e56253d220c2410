import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { judge } from '../support/figures.ts';
import { trainingsPublisher } from './published-trainings.ts';
import { type BaseShape, headOf, loraOf, writeBase } from './synthetic-base.ts';

// A model of each of many tenants on one base, published by the sharding worker's own activities: what lies in the store against what was changed.
// `node bench/store/tenants.ts [--tenants N] [--labels N]`

const { values } = parseArgs({ options: { tenants: { type: 'string', default: '1000' }, labels: { type: 'string', default: '77' } } });
const tenants = Number(values.tenants);
const publishersAtOnce = 4;
const mostOver = 5;

const folder = await mkdtemp(join(tmpdir(), 'mw-bench-tenants-'));
try {
  const ways = [
    {
      name: 'head',
      shape: { kind: 'encoder', hidden: 384, inner: 1_536, layers: 6 },
      labels: Number(values.labels),
      left: (shape: BaseShape) => headOf(shape, Number(values.labels)),
    },
    { name: 'lora', shape: { kind: 'causal-lm', hidden: 512, inner: 1_408, layers: 8 }, labels: 0, left: loraOf },
  ] as const;
  for (const { name, shape, left, labels } of ways) {
    const publisher = await trainingsPublisher(folder);
    try {
      const { base } = await writeBase(folder, name, shape);
      let next = 0;
      const changedBy: number[] = [];
      const publishOf = async (tenant: number): Promise<void> => {
        const { changedBytes } = await publisher.publish(`tenant-${tenant}`, base, left(shape), labels);
        changedBy.push(changedBytes);
      };
      const publishAll = async (): Promise<void> => {
        for (let tenant = next++; tenant < tenants; tenant = next++) await publishOf(tenant);
      };
      // The base is stored by the first.
      await publishOf(next++);
      const started = performance.now();
      await Promise.all(Array.from({ length: publishersAtOnce }, publishAll));
      const seconds = (performance.now() - started) / 1_000;
      const changed = changedBy.reduce((sum, bytes) => sum + bytes, 0);
      const bytesOf = async (prefix: string, counts: (key: string) => boolean = () => true): Promise<number> => {
        let sum = 0;
        for await (const { key, bytes } of publisher.store.list(prefix)) if (counts(key)) sum += bytes;
        return sum;
      };
      const [shared, own] = [await bytesOf('base/'), await bytesOf('tenants/')];
      const manifests = await bytesOf('tenants/', (key) => key.endsWith('/manifest.json'));
      const over = 100 * ((shared + own) / (shared + changed) - 1);
      console.log(
        `${name}: ${tenants} tenants in ${seconds.toFixed(0)} s; base ${shared}, changed ${changed}, stored ${own} of tenants, of it manifests ${manifests}`,
      );
      judge([{ what: `${name}: stored are base and changed bytes + ${over.toFixed(1)} % (<= ${mostOver} %)`, holds: over <= mostOver }]);
    } finally {
      await publisher.close();
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
