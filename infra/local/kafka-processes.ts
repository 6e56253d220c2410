import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config, Secrets } from '../../platform/config.ts';
import { createConnectClient } from '../../platform/kafka-connect.ts';
import { projectDir } from '../../platform/paths.ts';
import { connectorConfig, registerConnector } from '../debezium/connector.ts';
import { createTopics } from '../debezium/topics.ts';
import { javaClassPath } from './java-classpath.ts';
import { probeHttp, probePort } from './probes.ts';
import type { ProcessSpec } from './process-spec.ts';
import { runCommand } from './run-command.ts';

/** Any base64 UUID: the cluster is one broker. */
const clusterId = 'bW9kZWx3cmlnaHQtbG9jYQ';
const javaOptions = (folder: string): string[] => [
  '-XX:+UseSerialGC',
  '-XX:+ExitOnOutOfMemoryError',
  '-Xms64m',
  '-Xmx256m',
  // Native libraries are unpacked there, and a process that was killed leaves them.
  `-Djava.io.tmpdir=${temporaryOf(folder)}`,
  `-Dlog4j2.configurationFile=${join(folder, 'log4j2.properties')}`,
];
const temporaryOf = (folder: string): string => join(folder, 'tmp');

async function emptyTemporary(folder: string): Promise<void> {
  await rm(temporaryOf(folder), { recursive: true, force: true });
  await mkdir(temporaryOf(folder), { recursive: true });
}

const log4j = (folder: string, name: string): string =>
  `status=error
appender.f.type=RollingFile
appender.f.name=F
appender.f.fileName=${folder}/${name}.server.log
appender.f.filePattern=${folder}/${name}.server.log.%i
appender.f.layout.type=PatternLayout
appender.f.layout.pattern=%d %p %c{1} %m%n
appender.f.policies.type=Policies
appender.f.policies.size.type=SizeBasedTriggeringPolicy
appender.f.policies.size.size=20MB
appender.f.strategy.type=DefaultRolloverStrategy
appender.f.strategy.max=2
logger.mc.name=io.debezium.metrics.stats.MeasurementCollector
logger.mc.level=error
rootLogger.level=warn
rootLogger.appenderRef.f.ref=F
`;

const brokerProperties = (config: Config, data: string): string => {
  const { MW_KAFKA_PORT: port, MW_KAFKA_CONTROLLER_PORT: controllerPort } = config.settings;
  return `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controllerPort}
listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}
advertised.listeners=PLAINTEXT://127.0.0.1:${port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=${data}
num.network.threads=2
num.io.threads=4
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.segment.bytes=67108864
log.cleaner.dedupe.buffer.size=4194304
`;
};

export async function kafkaProcess(config: Config): Promise<ProcessSpec> {
  const folder = config.paths.processDir('kafka');
  const data = join(folder, 'data');
  const properties = join(folder, 'server.properties');
  const classPath = await javaClassPath(config.paths);
  const java = [...javaOptions(folder), '-cp', classPath];
  return {
    name: 'kafka',
    after: [],
    ports: [
      { port: config.settings.MW_KAFKA_PORT, variable: 'MW_KAFKA_PORT' },
      { port: config.settings.MW_KAFKA_CONTROLLER_PORT, variable: 'MW_KAFKA_CONTROLLER_PORT' },
    ],
    prepare: async (signal) => {
      await emptyTemporary(folder);
      await writeFile(properties, brokerProperties(config, data));
      await writeFile(join(folder, 'log4j2.properties'), log4j(folder, 'kafka'));
      if (existsSync(join(data, 'meta.properties'))) return;
      await runCommand('java', [...java, 'kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', properties, '--ignore-formatted'], {
        signal,
      });
    },
    command: 'java',
    args: [...java, 'kafka.Kafka', properties],
    probe: () => probePort(config.settings.MW_KAFKA_PORT),
    onReady: () => createTopics(config.kafka),
    readyDeadlineMs: 90_000,
    stopDeadlineMs: 30_000,
  };
}

export async function connectProcess(config: Config, secrets: Secrets): Promise<ProcessSpec> {
  const folder = config.paths.processDir('connect');
  const properties = join(folder, 'worker.properties');
  const classPath = await javaClassPath(config.paths);
  return {
    name: 'connect',
    after: ['kafka', 'mysql'],
    ports: [{ port: config.settings.MW_CONNECT_PORT, variable: 'MW_CONNECT_PORT' }],
    prepare: async () => {
      await emptyTemporary(folder);
      const shared = await readFile(join(projectDir, 'infra/debezium/connect.properties'), 'utf8');
      const own = `bootstrap.servers=${config.kafka.brokers.join(',')}\nlisteners=${config.connectUrl}\nplugin.discovery=service_load\n`;
      await writeFile(properties, shared + own);
      await writeFile(join(folder, 'log4j2.properties'), log4j(folder, 'connect'));
    },
    command: 'java',
    args: [...javaOptions(folder), '-cp', classPath, 'org.apache.kafka.connect.cli.ConnectDistributed', properties],
    probe: () => probeHttp(`${config.connectUrl}/connectors`),
    onReady: async (signal) => {
      const connect = createConnectClient(config.connectUrl);
      await registerConnector(connect, connectorConfig(config, secrets.mysqlDebeziumPassword), signal);
    },
    readyDeadlineMs: 120_000,
    stopDeadlineMs: 30_000,
  };
}
