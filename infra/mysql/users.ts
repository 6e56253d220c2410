import type { Secrets } from '../../platform/config.ts';

const sqlString = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;

/** Our users and what they may do, one statement each. Repeating them changes nothing but passwords. */
export const userStatements = (secrets: Pick<Secrets, 'mysqlAppPassword' | 'mysqlDebeziumPassword'>): string[] => [
  `CREATE USER IF NOT EXISTS 'mw_app'@'%' IDENTIFIED BY ${sqlString(secrets.mysqlAppPassword)}`,
  "GRANT ALL ON `modelwright`.* TO 'mw_app'@'%'",
  "GRANT ALL ON `modelwright\\_control`.* TO 'mw_app'@'%'",
  // Which file of the binary log is written: the surest sign of a reset.
  "GRANT REPLICATION CLIENT ON *.* TO 'mw_app'@'%'",
  `CREATE USER IF NOT EXISTS 'debezium'@'%' IDENTIFIED BY ${sqlString(secrets.mysqlDebeziumPassword)}`,
  "GRANT SELECT, RELOAD, SHOW DATABASES, REPLICATION SLAVE, REPLICATION CLIENT, LOCK TABLES ON *.* TO 'debezium'@'%'",
];

export const rootPasswordStatement = (password: string): string => `ALTER USER 'root'@'localhost' IDENTIFIED BY ${sqlString(password)}`;
