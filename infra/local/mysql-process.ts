import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config, Secrets } from '../../platform/config.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { createPool } from '../../platform/mysql.ts';
import { projectDir } from '../../platform/paths.ts';
import { migrate } from '../mysql/migrate.ts';
import { rootPasswordStatement, userStatements } from '../mysql/users.ts';
import { mysqldCommand } from './mysql-package.ts';
import { probePort } from './probes.ts';
import type { ProcessSpec } from './process-spec.ts';
import { runCommand } from './run-command.ts';

/** Longest path of a unix socket. */
const maxSocketPath = 100;

export function mysqlProcess(config: Config, secrets: Secrets): ProcessSpec {
  const folder = config.paths.processDir('mysql');
  const data = join(folder, 'data');
  const { command, args, prefix } = mysqldCommand(config.paths);
  const inFolder = join(folder, 'mysql.sock');
  const socket = inFolder.length <= maxSocketPath ? inFolder : join(tmpdir(), `mw-${sha256Hex(folder).slice(0, 16)}.sock`);
  const options = (dataDir: string): string[] => [
    ...args,
    `--defaults-file=${join(projectDir, 'infra/mysql/my.cnf')}`,
    `--basedir=${join(prefix, 'usr')}`,
    `--plugin-dir=${join(prefix, 'usr/lib/mysql/plugin')}`,
    `--lc-messages-dir=${join(prefix, 'usr/share/mysql')}`,
    `--character-sets-dir=${join(prefix, 'usr/share/mysql/charsets')}`,
    `--datadir=${dataDir}`,
    `--socket=${socket}`,
    `--pid-file=${join(folder, 'mysqld.pid')}`,
    '--secure-file-priv=NULL',
    '--bind-address=127.0.0.1',
    `--port=${config.mysql.port}`,
    // mysqld refuses to run as root unless told so.
    ...(process.getuid?.() === 0 ? ['--user=root'] : []),
  ];
  return {
    name: 'mysql',
    after: [],
    ports: [{ port: config.settings.MW_MYSQL_PORT, variable: 'MW_MYSQL_PORT' }],
    prepare: async (signal) => {
      if (existsSync(data)) return;
      const fresh = `${data}.new`;
      await rm(fresh, { recursive: true, force: true });
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const statements = join(folder, 'users.sql');
      const sql = [rootPasswordStatement(secrets.mysqlRootPassword), ...userStatements(secrets)];
      await writeFile(statements, sql.map((statement) => `${statement};\n`).join(''), { mode: 0o600 });
      await runCommand(command, [...options(fresh), '--initialize-insecure', `--init-file=${statements}`], { signal });
      await rm(statements);
      await rename(fresh, data);
    },
    command,
    args: options(data),
    probe: async () => {
      await probePort(config.mysql.port);
      const pool = createPool(config, { connectionLimit: 1 });
      try {
        await pool.query('SELECT 1');
      } finally {
        await pool.end();
      }
    },
    onReady: async () => void (await migrate(config)),
    readyDeadlineMs: 90_000,
    stopDeadlineMs: 30_000,
  };
}
