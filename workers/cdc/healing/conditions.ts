/** Everything that can be wrong between the binary log and the change consumer. Names are part of docs, metrics and the API. */
export const conditionCodes = [
  'mysql_unreachable',
  'kafka_unreachable',
  'connect_unreachable',
  'binlog_settings_wrong',
  'server_changed',
  'binlog_reset',
  'binlog_purged',
  'connector_missing',
  'connector_stopped',
  'connector_task_failed',
  'connector_stalled',
  'connector_position_missing',
  'connector_began_anew',
  'schema_history_missing',
  'topic_missing',
  'topic_recreated',
  'offsets_out_of_range',
  'snapshot_taken',
  'customizations_truncated',
  'consumer_behind',
] as const;
export type ConditionCode = (typeof conditionCodes)[number];

/** What a look found. */
export type Finding = {
  readonly code: ConditionCode;
  /** Connector, topic, or `mysql`, `kafka`, `connect`. */
  readonly subject: string;
  /** What is wrong, in a sentence, without row text. */
  readonly detail: string;
  /** The partition that lost events, where it is known. */
  readonly partitions?: readonly number[];
};

type Rule = {
  /** Looks in a row that must find it, so that a restart of an engine is no alarm. */
  readonly looks: number;
  /** Once found, it ends by its healing alone; otherwise it ends when it is no longer found. */
  readonly latched: boolean;
  /** What the platform does by itself, or what a person must do. */
  readonly remedy: string;
};

const itself = 'nothing to do: ';

export const conditionRules: Readonly<Record<ConditionCode, Rule>> = {
  mysql_unreachable: { looks: 2, latched: false, remedy: 'start MySQL or check MW_MYSQL_HOST and MW_MYSQL_PORT; see `./mw logs mysql`' },
  kafka_unreachable: { looks: 2, latched: false, remedy: 'start Kafka or check MW_KAFKA_BROKERS; see `./mw logs kafka`' },
  connect_unreachable: { looks: 2, latched: false, remedy: 'start Kafka Connect or check MW_CONNECT_URL; see `./mw logs connect`' },
  binlog_settings_wrong: {
    looks: 1,
    latched: true,
    remedy:
      'run the SET PERSIST statements above as an administrator, then reconnect all writers; the tables are compared as soon as the settings are right',
  },
  server_changed: { looks: 1, latched: true, remedy: `${itself}the connectors go on by GTID on the new server` },
  binlog_reset: {
    looks: 1,
    latched: true,
    remedy: `${itself}the connectors start from the new log, and every customization is compared with its table`,
  },
  binlog_purged: {
    looks: 1,
    latched: true,
    remedy: `${itself}the connector starts from the present end of the log, and its tables are compared; then set binlog_expire_logs_seconds longer than the longest stop of the connector`,
  },
  connector_missing: { looks: 2, latched: true, remedy: `${itself}it is created again and goes on where it was` },
  connector_stopped: { looks: 2, latched: false, remedy: 'a person stopped it: PUT /connectors/<name>/resume on Kafka Connect goes on' },
  connector_task_failed: {
    looks: 1,
    latched: false,
    remedy: `${itself}it is restarted, with growing pauses; if it stays so, see \`./mw logs connect\``,
  },
  connector_stalled: { looks: 1, latched: false, remedy: `${itself}it is restarted; if it stays so, see \`./mw logs connect\`` },
  connector_position_missing: {
    looks: 2,
    latched: true,
    remedy: `${itself}it starts from the present end of the log, and its tables are compared`,
  },
  connector_began_anew: {
    looks: 1,
    latched: true,
    remedy: `${itself}its tables are compared, since it never read what was committed between its old position and its new one`,
  },
  schema_history_missing: {
    looks: 2,
    latched: true,
    remedy: `${itself}the history is written anew from the tables' present structure, and the tables are compared`,
  },
  topic_missing: { looks: 2, latched: true, remedy: `${itself}it is created again, and what its events told of is compared` },
  topic_recreated: { looks: 1, latched: true, remedy: `${itself}it is read from its beginning, and what its events told of is compared` },
  offsets_out_of_range: {
    looks: 1,
    latched: true,
    remedy: `${itself}reading goes on at the oldest event that is left, and the tenants of the lost ones are compared; then set retention.ms longer than the longest stop of the change consumer`,
  },
  snapshot_taken: {
    looks: 1,
    latched: true,
    remedy: `${itself}what changed before the snapshot is compared; snapshot.mode no_data needs none`,
  },
  customizations_truncated: {
    looks: 1,
    latched: true,
    remedy: `${itself}nothing of them is trained any more, and their versions stay; rows of modelwright.customizations that come back, from a backup, are taken as they are`,
  },
  consumer_behind: {
    looks: 1,
    latched: false,
    remedy: 'see `./mw logs change-consumer`: it waits for MySQL or Temporal, is stopped, or cannot join its group',
  },
};
