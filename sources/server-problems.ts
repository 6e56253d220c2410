import type { Pool, PoolConnection, RowDataPacket } from '../platform/mysql.ts';
import { quotedTable } from './quoting.ts';

type VariableRow = RowDataPacket & { Variable_name: string; Value: string };

/** What the change capture needs of the server, and why. */
const wanted = [
  ['log_bin', 'ON', 'changes are read from the binary log', 'start the server with log-bin'],
  ['binlog_format', 'ROW', 'statements do not say which rows they changed', 'SET PERSIST binlog_format = ROW'],
  ['binlog_row_image', 'FULL', 'a change must show the whole row before and after', 'SET PERSIST binlog_row_image = FULL'],
  ['binlog_row_metadata', 'FULL', 'column names must be in the log', 'SET PERSIST binlog_row_metadata = FULL'],
  ['gtid_mode', 'ON', 'a commit is named by its GTID', 'start the server with gtid_mode = ON and enforce_gtid_consistency = ON'],
] as const;

/** Settings of the server under which its changes cannot be followed exactly; one sentence a problem. */
export async function serverProblems(pool: Pool): Promise<string[]> {
  const [rows] = await pool.query<VariableRow[]>('SHOW GLOBAL VARIABLES WHERE Variable_name IN (?)', [wanted.map(([name]) => name)]);
  const values = new Map(rows.map((row) => [row.Variable_name, row.Value] as const));
  return wanted
    .filter(([name, value]) => (values.get(name) ?? value).toUpperCase() !== value)
    .map(([name, value, why, remedy]) => `${name} is ${values.get(name)}, it must be ${value}: ${why}. ${remedy}`);
}

export const reservedDatabase = (database: string): boolean =>
  /^(mysql|sys|information_schema|performance_schema|modelwright.*)$/i.test(database);

type Table = { readonly database: string; readonly table: string };

/** Whether the connection's user can read the table: null, or a sentence with the statement that helps. */
export async function readProblem(connection: Pool | PoolConnection, table: Table, whose: string): Promise<string | null> {
  const name = `${table.database}.${table.table}`;
  try {
    await connection.query(`SELECT * FROM ${quotedTable(table)} LIMIT 0`);
    return null;
  } catch (error) {
    switch ((error as { code?: string }).code) {
      case 'ER_NO_SUCH_TABLE':
        return `there is no table ${name}: names are case-sensitive on most servers`;
      case 'ER_BAD_DB_ERROR':
        return `there is no database ${table.database}`;
      case 'ER_TABLEACCESS_DENIED_ERROR':
      case 'ER_COLUMNACCESS_DENIED_ERROR':
      case 'ER_DBACCESS_DENIED_ERROR': {
        const [rows] = await connection.query<(RowDataPacket & { me: string })[]>('SELECT CURRENT_USER() AS me');
        const user = (rows[0]?.me ?? '').split('@');
        return `${whose} may not read ${name}, if it exists: GRANT SELECT ON ${quotedTable(table)} TO '${user[0] ?? ''}'@'${user[1] ?? '%'}'`;
      }
      default:
        throw error;
    }
  }
}

/** What the connector's user lacks; one sentence a problem, each with its statement. `pool` is one of that user. */
export async function connectorProblems(pool: Pool, table: Table): Promise<string[]> {
  let grants: string;
  try {
    const [rows] = await pool.query<RowDataPacket[]>('SHOW GRANTS');
    grants = rows.flatMap((row) => Object.values(row).map(String)).join('\n');
  } catch (error) {
    if ((error as { code?: string }).code !== 'ER_ACCESS_DENIED_ERROR') throw error;
    return ["the connector's user cannot log in: set MW_MYSQL_DEBEZIUM_PASSWORD to the password of the MySQL user debezium"];
  }
  const everything = /GRANT ALL PRIVILEGES ON \*\.\*/.test(grants);
  const missing = ['REPLICATION SLAVE', 'REPLICATION CLIENT', 'RELOAD'].filter((privilege) => !everything && !grants.includes(privilege));
  const read = await readProblem(pool, table, "the connector's user");
  const absent = read !== null && read.startsWith('there is no');
  return [
    ...(missing.length > 0
      ? [`the connector's user lacks ${missing.join(', ')}: GRANT ${missing.join(', ')} ON *.* TO 'debezium'@'%'`]
      : []),
    ...(read !== null && !absent ? [read] : []),
  ];
}
