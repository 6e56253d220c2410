import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { type Paths, resolvePaths } from './paths.ts';
import { KeyError, type Signer, type SigningKeys, parseSigner, parseTrustedKeys, signingKeys } from './signing-keys.ts';
import { storeSettings } from './store-settings.ts';

/** A setting that is wrong: names the variable, what is wrong with it and what to do. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

const port = (fallback: number, what: string) => z.coerce.number().int().min(1).max(65_535).default(fallback).describe(what);

/** Every setting, read from the environment. The description is what `mw config` and docs/03-configuration.md print. */
export const settingsSchema = z.object({
  MW_BIND: z.string().default('127.0.0.1').describe('address that the API, predictor and metrics servers listen on'),
  MW_API_PORT: port(8080, 'port of the REST API'),
  MW_PREDICTOR_PORT: port(8081, 'port of the predictor (internal)'),
  MW_CHANGE_CONSUMER_PORT: port(8091, 'health and metrics port of the change consumer'),
  MW_ORCHESTRATOR_PORT: port(8092, 'health and metrics port of the orchestrator'),
  MW_DATASET_PORT: port(8093, 'health and metrics port of the dataset worker'),
  MW_TRAINING_PORT: port(8094, 'health and metrics port of the training worker'),
  MW_SHARDING_PORT: port(8095, 'health and metrics port of the sharding worker'),
  MW_MYSQL_PORT: port(13306, 'port of the embedded MySQL'),
  MW_KAFKA_PORT: port(19092, 'port of the embedded Kafka broker'),
  MW_KAFKA_CONTROLLER_PORT: port(19093, 'port of the embedded KRaft controller'),
  MW_CONNECT_PORT: port(18083, 'port of the embedded Kafka Connect REST interface'),
  MW_TEMPORAL_PORT: port(7233, 'gRPC port of the embedded Temporal server'),
  MW_TEMPORAL_UI_PORT: port(8233, 'port of the Temporal Web UI'),
  MW_S3_PORT: port(19000, 'port of the embedded S3 server'),
  MW_MYSQL_HOST: z.string().default('127.0.0.1').describe('host of MySQL'),
  MW_MYSQL_USER: z.string().default('mw_app').describe('MySQL user of the API and the workers'),
  MW_MYSQL_PASSWORD: z.string().optional().describe('its password (default: from secrets.json)'),
  MW_MYSQL_DEBEZIUM_PASSWORD: z
    .string()
    .optional()
    .describe(
      'password of the MySQL user debezium, for connectors of mapped tables (default: from secrets.json; without it none can be mapped)',
    ),
  MW_KAFKA_BROKERS: z.string().optional().describe('Kafka brokers, host:port separated by commas (default: the embedded one)'),
  MW_KAFKA_TOPIC_PREFIX: z
    .string()
    .regex(/^[a-z0-9-]+$/)
    .default('mw')
    .describe('prefix of all change topics'),
  MW_CHANGE_FEED: z.enum(['kafkajs', 'platformatic']).default('kafkajs').describe('Kafka client that the change consumer reads with'),
  MW_CONNECT_URL: z.url().optional().describe('Kafka Connect REST address (default: the embedded one)'),
  MW_TEMPORAL_ADDRESS: z.string().optional().describe('Temporal frontend host:port (default: the embedded one)'),
  MW_TEMPORAL_NAMESPACE: z.string().default('default').describe('Temporal namespace'),
  MW_S3_ENDPOINT: z.url().optional().describe('S3 address (default: the embedded one)'),
  MW_S3_REGION: z.string().default('us-east-1').describe('S3 region'),
  MW_S3_BUCKET: z.string().default('modelwright').describe('bucket for datasets, staging, shards and manifests'),
  MW_S3_ACCESS_KEY: z.string().optional().describe('S3 access key (default: from secrets.json)'),
  MW_S3_SECRET_KEY: z.string().optional().describe('S3 secret key (default: from secrets.json)'),
  MW_PREDICTOR_URL: z.url().optional().describe('address of the predictor (default: the embedded one)'),
  MW_OPERATOR_KEY: z.string().optional().describe('operator API key (default: from secrets.json)'),
  MW_INTERNAL_TOKEN: z.string().optional().describe('token between our own processes (default: from secrets.json)'),
  MW_CATALOG_DIR: z
    .string()
    .optional()
    .describe('folder of further business models beside the shipped ones: see docs/models/adding-a-business-model.md'),
  MW_TRAINING_SLOTS: z.coerce
    .number()
    .int()
    .min(1)
    .default(1)
    .describe('trainings at the same time: as many local processes, or as many Jobs as the cluster is to see at once'),
  MW_WARM_TRAINER: z
    .enum(['on', 'off'])
    .default('on')
    .describe('keeps a trainer with loaded libraries, of which local trainings are forked: they start in a fraction of the time'),
  MW_TRAINER_THREADS: z.coerce.number().int().min(1).default(1).describe('CPU threads of one training'),
  MW_EXECUTOR: z
    .enum(['process', 'kubernetes'])
    .default('process')
    .describe('where trainings run: as processes beside the training worker, or as Jobs on a Kubernetes cluster (docs/06-kubernetes.md)'),
  MW_KUBECONFIG: z
    .string()
    .optional()
    .describe("kubeconfig of the cluster that trains (default: KUBECONFIG, ~/.kube/config, or the pod's own account)"),
  MW_JOB_NAMESPACE: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'must be a name of a namespace')
    .default('modelwright-training')
    .describe('namespace of the training Jobs; nothing else should live in it'),
  MW_JOB_IMAGE: z
    .string()
    .optional()
    .describe('trainer image of the Jobs (infra/images/trainer.Dockerfile); needed with MW_EXECUTOR=kubernetes'),
  MW_JOB_IMAGE_PULL: z.enum(['Always', 'IfNotPresent', 'Never']).default('IfNotPresent').describe('when nodes pull the trainer image'),
  MW_JOB_IMAGE_PULL_SECRET: z.string().optional().describe('secret of the namespace with which nodes pull the trainer image'),
  MW_JOB_DEADLINE_MINUTES: z.coerce.number().int().min(1).default(1_440).describe('a Job that trains longer is ended, and its run fails'),
  MW_JOB_KEEP_MINUTES: z.coerce
    .number()
    .int()
    .min(1)
    .default(60)
    .describe('Jobs that have ended are kept so long if nothing else removes them'),
  MW_JOB_QUEUE: z
    .string()
    .default('auto')
    .describe('ClusterQueue of Kueue that admits the Jobs; auto: modelwright where Kueue is installed, else none; none: Kueue is not used'),
  MW_RESOURCE_TIERS: z.string().optional().describe('JSON file of the resource tiers that Jobs get (default: see docs/06-kubernetes.md)'),
  MW_CLUSTER_GROWS: z
    .enum(['on', 'off'])
    .default('off')
    .describe('on: nodes are added on demand, so that a Job that fits no node of today waits instead of failing'),
  MW_S3_JOBS_ENDPOINT: z.url().optional().describe('S3 address as Jobs on the cluster see it (default: as we see it)'),
  MW_PREDICTOR_CACHE_BYTES: z.coerce
    .number()
    .int()
    .min(1_048_576)
    .default(1_073_741_824)
    .describe('memory that the predictor keeps for loaded models'),
  MW_PREDICTOR_QUEUE_TEXTS: z.coerce
    .number()
    .int()
    .min(1_000)
    .default(4_000)
    .describe('texts that may wait for one encoder before the tenants with most of them are answered 503'),
  MW_ENCODER_PRECISION: z
    .enum(['f32', 'int8'])
    .default('f32')
    .describe('numbers that the predictor computes encoders in; int8 is faster and answers a little otherwise: see docs/models/serving.md'),
  MW_MAX_TEXT_CHARS: z.coerce
    .number()
    .int()
    .min(1)
    .default(100_000)
    .describe('longest accepted text of an example, in Unicode code points'),
  MW_VERIFY_EVERY_MINUTES: z.coerce
    .number()
    .int()
    .min(0)
    .max(10_080)
    .default(60)
    .describe('minutes between two comparisons of every table with its last dataset (0: only on demand)'),
  ...storeSettings,
  MW_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('log level'),
});

export type Settings = z.infer<typeof settingsSchema>;

export const secretsSchema = z.object({
  mysqlRootPassword: z.string(),
  mysqlAppPassword: z.string(),
  mysqlDebeziumPassword: z.string(),
  s3AccessKey: z.string(),
  s3SecretKey: z.string(),
  operatorKey: z.string(),
  internalToken: z.string(),
  /** Seed of the Ed25519 key that signs models, in base64. Absent in homes from before they were signed, until the next `mw up`. */
  signingKey: z.string().optional(),
});
export type Secrets = z.infer<typeof secretsSchema>;

/** A bucket on an S3 server. */
export type S3Place = {
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** What new objects get; absent: the gateway's own. */
  readonly storageClass?: string;
  readonly accessKey: string;
  readonly secretKey: string;
};

/** Settings with every default resolved: what the processes use. */
export type Config = {
  readonly paths: Paths;
  readonly settings: Settings;
  readonly mysql: { readonly host: string; readonly port: number; readonly user: string; readonly password: string };
  /** The change capture's user; null: no table can be mapped. */
  readonly connectorUser: { readonly user: string; readonly password: string } | null;
  readonly kafka: { readonly brokers: readonly string[]; readonly topicPrefix: string };
  readonly connectUrl: string;
  readonly temporal: { readonly address: string; readonly namespace: string };
  readonly s3: S3Place;
  /** A second site that holds everything too; null: there is none. */
  readonly secondS3: S3Place | null;
  readonly predictorUrl: string;
  readonly operatorKey: string;
  readonly internalToken: string;
  readonly signing: SigningKeys;
};

export function parseSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const known = new Set([...Object.keys(settingsSchema.shape), ...otherVariables]);
  const unknown = Object.keys(env).filter((name) => name.startsWith('MW_') && !known.has(name));
  const parsed = settingsSchema.safeParse(env);
  const problems = [
    ...unknown.map((name) => `${name} is not a setting; \`./mw config\` lists them`),
    ...(parsed.success ? [] : parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)),
  ];
  if (problems.length > 0 || !parsed.success) throw new ConfigError(`wrong settings:\n  ${problems.join('\n  ')}`);
  return parsed.data;
}

/** MW_ variables that are read elsewhere: folders (platform/paths.ts), the client side of `mw`, and test data. */
const otherVariables = ['MW_HOME', 'MW_CACHE_DIR', 'MW_MODELS_DIR', 'MW_TRAINER_PYTHON', 'MW_DATA_DIR', 'MW_URL', 'MW_KEY'];

export function loadConfig(env: Readonly<Record<string, string | undefined>> = process.env): Config {
  const settings = parseSettings(env);
  const paths = resolvePaths(env);
  const secrets: Partial<Secrets> = existsSync(paths.secretsFile)
    ? secretsSchema.parse(JSON.parse(readFileSync(paths.secretsFile, 'utf8')))
    : {};
  const need = (value: string | undefined, variable: string): string => {
    if (value === undefined)
      throw new ConfigError(`${variable} is not set and ${paths.secretsFile} does not exist: run \`./mw up\`, or set it`);
    return value;
  };
  const mysqlPassword = need(settings.MW_MYSQL_PASSWORD ?? secrets.mysqlAppPassword, 'MW_MYSQL_PASSWORD');
  const s3: S3Place = {
    endpoint: settings.MW_S3_ENDPOINT ?? `http://127.0.0.1:${settings.MW_S3_PORT}`,
    region: settings.MW_S3_REGION,
    bucket: settings.MW_S3_BUCKET,
    accessKey: need(settings.MW_S3_ACCESS_KEY ?? secrets.s3AccessKey, 'MW_S3_ACCESS_KEY'),
    secretKey: need(settings.MW_S3_SECRET_KEY ?? secrets.s3SecretKey, 'MW_S3_SECRET_KEY'),
  };
  const connectorPassword = settings.MW_MYSQL_DEBEZIUM_PASSWORD ?? secrets.mysqlDebeziumPassword;
  return {
    paths,
    settings,
    connectorUser: connectorPassword === undefined ? null : { user: 'debezium', password: connectorPassword },
    mysql: {
      host: settings.MW_MYSQL_HOST,
      port: settings.MW_MYSQL_PORT,
      user: settings.MW_MYSQL_USER,
      password: mysqlPassword,
    },
    kafka: {
      brokers: (settings.MW_KAFKA_BROKERS ?? `127.0.0.1:${settings.MW_KAFKA_PORT}`).split(','),
      topicPrefix: settings.MW_KAFKA_TOPIC_PREFIX,
    },
    connectUrl: settings.MW_CONNECT_URL ?? `http://127.0.0.1:${settings.MW_CONNECT_PORT}`,
    temporal: {
      address: settings.MW_TEMPORAL_ADDRESS ?? `127.0.0.1:${settings.MW_TEMPORAL_PORT}`,
      namespace: settings.MW_TEMPORAL_NAMESPACE,
    },
    s3,
    secondS3: secondS3Of(settings, s3),
    predictorUrl: settings.MW_PREDICTOR_URL ?? `http://127.0.0.1:${settings.MW_PREDICTOR_PORT}`,
    operatorKey: need(settings.MW_OPERATOR_KEY ?? secrets.operatorKey, 'MW_OPERATOR_KEY'),
    internalToken: need(settings.MW_INTERNAL_TOKEN ?? secrets.internalToken, 'MW_INTERNAL_TOKEN'),
    signing: signingOf(settings, secrets.signingKey),
  };
}

/** The second site that the settings name; null: none. Throws ConfigError where it cannot be one. */
export function secondS3Of(settings: Settings, first: Pick<S3Place, 'endpoint' | 'bucket'>): S3Place | null {
  const {
    MW_S3_SECOND_ENDPOINT: endpoint,
    MW_S3_SECOND_REGION: region,
    MW_S3_SECOND_BUCKET: bucket,
    MW_S3_SECOND_ACCESS_KEY: accessKey,
    MW_S3_SECOND_SECRET_KEY: secretKey,
  } = settings;
  if (endpoint === undefined) return null;
  if (accessKey === undefined || secretKey === undefined)
    throw new ConfigError('MW_S3_SECOND_ENDPOINT is set without MW_S3_SECOND_ACCESS_KEY and MW_S3_SECOND_SECRET_KEY: set all three');
  if (new URL(endpoint).href === new URL(first.endpoint).href && bucket === first.bucket)
    throw new ConfigError(
      'MW_S3_SECOND_ENDPOINT and MW_S3_SECOND_BUCKET name the first site: a second one must be another server or bucket',
    );
  return { endpoint, region, bucket, accessKey, secretKey };
}

function signingOf(settings: Settings, stored: string | undefined): SigningKeys {
  const parse = <T>(variable: string, work: () => T): T => {
    try {
      return work();
    } catch (error) {
      if (error instanceof KeyError) throw new ConfigError(`${variable} ${error.message}`, { cause: error });
      throw error;
    }
  };
  const text = settings.MW_SIGNING_KEY ?? stored;
  return signingKeys(
    text === undefined ? null : parse('MW_SIGNING_KEY', () => parseSigner(text)),
    parse('MW_TRUSTED_KEYS', () => parseTrustedKeys(settings.MW_TRUSTED_KEYS)),
  );
}

/** The key that signs models. Throws ConfigError where this process has none. */
export function signerOf({ signing, paths }: Pick<Config, 'signing' | 'paths'>): Signer {
  if (signing.signer) return signing.signer;
  throw new ConfigError(`MW_SIGNING_KEY is not set and ${paths.secretsFile} has no signingKey: run \`./mw up\`, or set it`);
}

/** Whose models this process serves. */
export const trustOf = ({
  signing,
  settings,
}: Pick<Config, 'signing' | 'settings'>): SigningKeys & { readonly unsigned: Settings['MW_UNSIGNED_MODELS'] } => ({
  ...signing,
  unsigned: settings.MW_UNSIGNED_MODELS,
});
