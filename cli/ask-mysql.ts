import type { Config } from '../platform/config.ts';
import { type Pool, createPool } from '../platform/mysql.ts';

/** What the platform's MySQL says; null where it does not answer, or is older than what is asked. */
export async function askMysql<T>(config: Config, ask: (pool: Pool) => Promise<T>): Promise<T | null> {
  const pool = createPool(config, { connectionLimit: 2 });
  try {
    return await ask(pool);
  } catch {
    return null;
  } finally {
    await pool.end();
  }
}
