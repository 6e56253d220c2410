import { BaseNameTaken, withdrawBase } from '../../activities/sharding/base-registry.ts';
import { type Push, PushOvertaken, pushBase } from '../../activities/sharding/push-base.ts';
import { nowMs } from '../../platform/clock.ts';
import { type Config, loadConfig } from '../../platform/config.ts';
import { type Pool, createPool, isUnavailable } from '../../platform/mysql.ts';
import type { InstalledEncoder } from '../../store/encoder-folder.ts';
import { StoreUnavailable } from '../../store/object-store.ts';
import { openStore } from '../../store/open-store.ts';
import { CommandError } from '../command.ts';
import { type Screen, bar } from '../screen.ts';
import { bytes } from '../wording.ts';
import { refusing } from './install-folder.ts';

/** With the registry and the store of this installation. Throws CommandError where one is away. */
async function withRegistry<T>(work: (pool: Pool, config: Config) => Promise<T>): Promise<T> {
  const config = loadConfig(process.env);
  const pool = createPool(config, { connectionLimit: 2 });
  try {
    return await work(pool, config);
  } catch (error) {
    if (error instanceof BaseNameTaken || error instanceof PushOvertaken) throw new CommandError(error.message);
    if (error instanceof StoreUnavailable)
      throw new CommandError(`${error.message}; what was sent is kept, the same command goes on from there`);
    if (isUnavailable(error))
      throw new CommandError(
        `MySQL at ${config.mysql.host}:${config.mysql.port} does not answer: start it with \`./mw up\`, or set MW_MYSQL_HOST; what was sent is kept`,
      );
    throw error;
  } finally {
    await pool.end();
  }
}

export async function pushToStore(base: InstalledEncoder, screen: Screen): Promise<Push & { readonly tookMs: number }> {
  const started = nowMs();
  const pushed = await withRegistry(async (pool, config) => {
    const store = openStore(config, pool);
    let pieces = 0;
    const beat: Parameters<typeof pushBase>[0]['beat'] = (progress) =>
      screen.changing(
        'pushing',
        progress
          ? `  shards ${bar(progress.doneBytes, progress.totalBytes)} of ${bytes(progress.totalBytes)}`
          : `  files ${'.'.repeat((pieces = (pieces + 1) % 40))}`,
      );
    return await refusing(() => pushBase({ pool, store, shardBytes: config.settings.MW_SHARD_BYTES, beat }, base));
  });
  return { ...pushed, tookMs: nowMs() - started };
}

export async function withdrawFromStore(name: string): Promise<void> {
  if (!(await withRegistry((pool) => withdrawBase(pool, name)))) throw new CommandError(`no base model ${name} was pushed`);
}
