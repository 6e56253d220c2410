import { readFileSync } from 'node:fs';
import { secretsSchema } from '../../platform/config.ts';
import { type Pool, createPool } from '../../platform/mysql.ts';
import type { TestStack } from './engines.ts';

/** The database administrator of a test stack: makes tables of its own and grants what an operator would. */
export function rootPool(stack: TestStack): Pool {
  const secrets = secretsSchema.parse(JSON.parse(readFileSync(stack.config.paths.secretsFile, 'utf8')));
  return createPool({ mysql: { ...stack.config.mysql, user: 'root', password: secrets.mysqlRootPassword } });
}

/** Lets our users read a table, as the operator's guide says. */
export async function letRead(root: Pool, table: string): Promise<void> {
  await root.query(`GRANT SELECT ON ${table} TO 'mw_app'@'%'`);
}
