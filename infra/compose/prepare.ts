import mysql from 'mysql2/promise';
import { type Config, loadConfig } from '../../platform/config.ts';
import { createConnectClient } from '../../platform/kafka-connect.ts';
import { connectorConfig, registerConnector } from '../debezium/connector.ts';
import { createTopics } from '../debezium/topics.ts';
import { migrate } from '../mysql/migrate.ts';
import { userStatements } from '../mysql/users.ts';
import { ensureBucket } from '../s3/bucket.ts';
import { prepareNamespace } from '../temporal/prepare-namespace.ts';

/** What `./mw up` does when an engine is ready, for engines that Docker started. Repeating it changes nothing. */
function needed(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

async function createUsers(config: Config, debeziumPassword: string): Promise<void> {
  const { host, port, password } = config.mysql;
  const connection = await mysql.createConnection({ host, port, user: 'root', password: needed('MYSQL_ROOT_PASSWORD') });
  for (const statement of userStatements({ mysqlAppPassword: password, mysqlDebeziumPassword: debeziumPassword }))
    await connection.query(statement);
  await connection.end();
}

const config = loadConfig();
if (process.argv[2] === 'topics') await createTopics(config.kafka);
else {
  const debeziumPassword = needed('MYSQL_DEBEZIUM_PASSWORD');
  await createUsers(config, debeziumPassword);
  await migrate(config);
  await ensureBucket(config, config.settings.MW_OBJECT_LOCK_DAYS > 0);
  await prepareNamespace(config);
  await registerConnector(createConnectClient(config.connectUrl), connectorConfig(config, debeziumPassword), new AbortController().signal);
}
