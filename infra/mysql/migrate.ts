import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import mysql from 'mysql2/promise';
import type { Config } from '../../platform/config.ts';
import { sha256Hex } from '../../platform/hash.ts';

const folder = join(import.meta.dirname, 'migrations');
const lockName = 'modelwright.migrations';
const lockTimeoutSeconds = 60;

/** An applied migration that no longer is what was applied. */
export class MigrationError extends Error {
  override name = 'MigrationError';
}

/**
 * Applies the numbered SQL files that are not applied yet, in order, and returns their names. Two at once wait for each other.
 * DDL is not transactional: a file that failed half-way is named, and must be finished or undone by hand.
 */
export async function migrate(config: Pick<Config, 'mysql'>): Promise<string[]> {
  const connection = await mysql.createConnection({ ...config.mysql, multipleStatements: true, timezone: 'Z' });
  try {
    await connection.query('CREATE DATABASE IF NOT EXISTS modelwright_control CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin');
    await connection.query('SELECT GET_LOCK(?, ?)', [lockName, lockTimeoutSeconds]);
    await connection.query(
      `CREATE TABLE IF NOT EXISTS modelwright_control.schema_migrations (
         name VARCHAR(128) NOT NULL PRIMARY KEY, sha256 CHAR(64) NOT NULL, applied_at DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)))`,
    );
    const [rows] = await connection.query<mysql.RowDataPacket[]>('SELECT name, sha256 FROM modelwright_control.schema_migrations');
    const applied = new Map(rows.map((row) => [String(row['name']), String(row['sha256'])]));
    const names: string[] = [];
    for (const name of readdirSync(folder)
      .filter((file) => file.endsWith('.sql'))
      .sort()) {
      const sql = readFileSync(join(folder, name), 'utf8');
      const digest = sha256Hex(sql);
      const known = applied.get(name);
      if (known !== undefined && known !== digest) {
        throw new MigrationError(`${name} was changed after it had been applied: restore the file and put the change in a new migration`);
      }
      if (known !== undefined) continue;
      try {
        await connection.query(sql);
      } catch (error) {
        throw new MigrationError(`${name} failed: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
      }
      await connection.query('INSERT INTO modelwright_control.schema_migrations (name, sha256) VALUES (?, ?)', [name, digest]);
      names.push(name);
    }
    return names;
  } finally {
    await connection.end();
  }
}
