import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { checkCluster } from '../activities/kubernetes/cluster-check.ts';
import { ClusterRefused, connectCluster } from '../activities/kubernetes/cluster-client.ts';
import { WrongTiers, loadResourceTiers } from '../activities/kubernetes/resource-tiers.ts';
import { loadCatalog } from '../catalog/catalog.ts';
import { engineNames, serviceNames } from '../core/process-names.ts';
import { connectorState } from '../infra/debezium/connector.ts';
import { portProblems } from '../infra/local/ports.ts';
import { runCommand } from '../infra/local/run-command.ts';
import { serviceProcess } from '../infra/local/service-process.ts';
import { readState } from '../infra/local/supervisor-state.ts';
import { type Config, type Settings, loadConfig, parseSettings, secondS3Of } from '../platform/config.ts';
import { createConnectClient } from '../platform/kafka-connect.ts';
import { createPool, type RowDataPacket } from '../platform/mysql.ts';
import { type Paths, resolvePaths } from '../platform/paths.ts';
import { BrokenEncoder, checkEncoders } from '../store/encoder-folder.ts';
import { type GatewayAbilities, lackingAbilities } from '../store/gateway-probe.ts';
import { GatewayRefused } from '../store/gateway-refused.ts';
import { StoreUnavailable } from '../store/object-store.ts';
import { placesOf, siteWords } from '../store/open-store.ts';
import { type ProbedPlace, probePlace } from '../store/placement-probe.ts';
import { WrongPlacements, loadPlacements } from '../store/placements.ts';
import { placementProblems } from '../store/tenant-placements.ts';
import { askMysql } from './ask-mysql.ts';
import { printJson, type RegisterCommand } from './command.ts';
import { readSensing, sensingProblems } from './sensing-table.ts';

const neededFreeBytes = 6 * 1024 ** 3;

type Problem = { readonly problem: string; readonly remedy: string };

/** Commands that provisioning runs, the lowest version that works, and where to get them. */
const tools: readonly {
  readonly command: string;
  readonly args: readonly string[];
  readonly version: RegExp;
  readonly lowest: number;
  readonly remedy: string;
}[] = [
  { command: 'npm', args: ['--version'], version: /^(\d+)/, lowest: 9, remedy: 'install Node.js with npm' },
  { command: 'go', args: ['version'], version: /go1\.(\d+)/, lowest: 26, remedy: 'install Go 1.26 or newer' },
  { command: 'java', args: ['--version'], version: /^\S+ (\d+)/, lowest: 17, remedy: 'install a Java 17 runtime' },
  { command: 'mvn', args: ['--version'], version: /Maven (\d+)/, lowest: 3, remedy: 'install Apache Maven 3' },
  { command: 'python3', args: ['--version'], version: /Python 3\.(\d+)/, lowest: 11, remedy: 'install Python 3.11 or newer with venv' },
  { command: 'gcc', args: ['--version'], version: /(\d+)\./, lowest: 9, remedy: 'install gcc' },
  {
    command: 'apt-get',
    args: ['--version'],
    version: /apt (\d+)/,
    lowest: 1,
    remedy: 'use Debian or a relative of it, or point MW_MYSQL_HOST at a MySQL of your own',
  },
  { command: 'dpkg-deb', args: ['--version'], version: /(\d+)\./, lowest: 1, remedy: 'install dpkg' },
];

async function toolProblems(): Promise<Problem[]> {
  const found = await Promise.all(
    tools.map(async ({ command, args, version, lowest, remedy }): Promise<Problem | null> => {
      try {
        let text = '';
        text += await runCommand(command, args, { onLine: (line) => (text += `${line}\n`) });
        const number = Number(version.exec(text)?.[1]);
        return number >= lowest ? null : { problem: `${command} is too old (${text.split('\n')[0]})`, remedy };
      } catch {
        return { problem: `${command} is missing`, remedy };
      }
    }),
  );
  return found.filter((problem) => problem !== null);
}

async function folderProblems(paths: Paths): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const folder of [paths.home, paths.cache]) {
    const existing = existsSync(folder) ? folder : join(folder, '..');
    try {
      accessSync(existing, constants.W_OK);
      const { bavail, bsize } = await statfs(existing);
      if (bavail * bsize < neededFreeBytes)
        problems.push({
          problem: `less than 6 GiB are free for ${folder}`,
          remedy: 'free some space, or set MW_HOME and MW_CACHE_DIR to another disk',
        });
    } catch {
      problems.push({ problem: `${folder} cannot be written`, remedy: 'set MW_HOME and MW_CACHE_DIR to folders of yours' });
    }
  }
  const entries = existsSync(paths.cache) ? readdirSync(paths.cache) : [];
  for (const name of entries.filter((entry) => entry.endsWith('.building'))) {
    if (!entries.includes(`${name.slice(0, -'.building'.length)}.lock`))
      problems.push({ problem: `${join(paths.cache, name)} is an interrupted build`, remedy: 'run `./mw up` again, or delete it' });
  }
  if (existsSync(paths.secretsFile) && (statSync(paths.secretsFile).mode & 0o077) !== 0) {
    problems.push({ problem: `${paths.secretsFile} can be read by others`, remedy: `chmod 600 ${paths.secretsFile}` });
  }
  return problems;
}

/** Every byte of the encoders: a broken one would fail each run that starts from it. */
async function encoderProblems({ modelsDir }: Paths): Promise<Problem[]> {
  return (await checkEncoders(modelsDir)).flatMap(({ found }) =>
    found instanceof BrokenEncoder ? [{ problem: found.message.slice(0, -found.remedy.length - 2), remedy: found.remedy }] : [],
  );
}

/** Server variables that sensing relies on. */
const wanted: Readonly<Record<string, string>> = {
  log_bin: '1',
  binlog_format: 'ROW',
  binlog_row_image: 'FULL',
  binlog_row_metadata: 'FULL',
  gtid_mode: 'ON',
  enforce_gtid_consistency: 'ON',
};

async function mysqlProblems(config: Config): Promise<Problem[]> {
  const pool = createPool(config, { connectionLimit: 1 });
  try {
    const [rows] = await pool.query<RowDataPacket[]>(
      `SELECT ${Object.keys(wanted)
        .map((name) => `@@global.${name} AS ${name}`)
        .join(', ')}`,
    );
    return Object.entries(wanted)
      .filter(([name, value]) => String(rows[0]?.[name]) !== value)
      .map(([name, value]) => ({
        problem: `MySQL runs with ${name}=${String(rows[0]?.[name])}`,
        remedy: `set ${name}=${value} (infra/mysql/my.cnf has all settings) and restart it`,
      }));
  } catch (error) {
    return [
      {
        problem: `MySQL on ${config.mysql.host}:${config.mysql.port} does not answer: ${error instanceof Error ? error.message : String(error)}`,
        remedy: 'see `./mw logs mysql`',
      },
    ];
  } finally {
    await pool.end();
  }
}

/** Tenants of which this machine's settings do not know where their objects lie; none where MySQL or the file is the problem. */
async function tenantPlacementProblems(config: Config): Promise<Problem[]> {
  const found = await askMysql(config, async (pool) => await placementProblems(pool, loadPlacements(config)));
  return (found ?? []).map((problem) => ({ problem, remedy: 'see docs/store/placement.md' }));
}

async function runningProblems(config: Config): Promise<Problem[]> {
  const problems = [...(await mysqlProblems(config)), ...(await tenantPlacementProblems(config))];
  try {
    const { state, detail } = await connectorState(createConnectClient(config.connectUrl));
    if (state !== 'running')
      problems.push({
        problem: `the connector is ${state}: ${detail}`,
        remedy: 'it is restarted by itself; if it stays so, see `./mw logs connect`',
      });
  } catch {
    problems.push({ problem: 'Kafka Connect does not answer', remedy: 'see `./mw logs connect`' });
  }
  return [...problems, ...sensingProblems(await readSensing(config))];
}

const enginePorts: readonly (keyof Settings)[] = [
  'MW_MYSQL_PORT',
  'MW_KAFKA_PORT',
  'MW_KAFKA_CONTROLLER_PORT',
  'MW_CONNECT_PORT',
  'MW_TEMPORAL_PORT',
  'MW_TEMPORAL_UI_PORT',
  'MW_S3_PORT',
];

async function freePortProblems(settings: Settings, paths: Paths): Promise<Problem[]> {
  const specs = [
    { ports: enginePorts.map((variable) => ({ variable, port: Number(settings[variable]) })), name: engineNames[0] },
    ...serviceNames.map((name) => serviceProcess(name, { settings, paths } as Config, {})),
  ] as Parameters<typeof portProblems>[0];
  return (await portProblems(specs)).map((text) => {
    const [problem = text, remedy = ''] = text.split(': ', 2);
    return { problem, remedy };
  });
}

/** Of a cluster that trains: what would keep its jobs from running, as the training worker itself finds out when it starts. */
async function clusterProblems(settings: Settings): Promise<Problem[]> {
  if (settings.MW_EXECUTOR !== 'kubernetes') return [];
  try {
    const tiers = loadResourceTiers(settings.MW_RESOURCE_TIERS);
    const cluster = connectCluster(settings.MW_KUBECONFIG, settings.MW_JOB_NAMESPACE, 'doctor');
    return [...(await checkCluster(cluster, settings, tiers, await loadCatalog(settings.MW_CATALOG_DIR))).problems];
  } catch (error) {
    if (!(error instanceof ClusterRefused || error instanceof WrongTiers)) throw error;
    return [{ problem: error.message, remedy: 'see docs/06-kubernetes.md' }];
  }
}

/** What each site's gateway does, as workers find it when they start; null where it is not looked at or not to be had. */
async function storeFindings(
  settings: Settings,
  up: boolean,
): Promise<{ readonly problems: Problem[]; readonly abilities: GatewayAbilities | null; readonly lacking: string[] }> {
  const {
    MW_S3_ENDPOINT: endpoint,
    MW_S3_REGION: region,
    MW_S3_BUCKET: bucket,
    MW_S3_ACCESS_KEY: accessKey,
    MW_S3_SECRET_KEY: secretKey,
  } = settings;
  // The embedded one is there only while all is up; one of your own may be asked before there are any secrets of ours.
  const own = endpoint && accessKey && secretKey ? { endpoint, region, bucket, accessKey, secretKey } : null;
  if (!up && own === null) return { problems: [], abilities: null, lacking: [] };
  const s3 = own ?? loadConfig(process.env).s3;
  const sites = { s3, secondS3: secondS3Of(settings, s3), settings };
  let places: ReturnType<typeof placesOf>;
  try {
    places = placesOf(sites);
  } catch (error) {
    if (!(error instanceof WrongPlacements)) throw error;
    return { problems: [{ problem: error.message, remedy: 'see docs/store/placement.md' }], abilities: null, lacking: [] };
  }
  const found = await Promise.all(
    places.map((place) => gatewayFindings(place, siteWords(sites, place.name), settings.MW_OBJECT_LOCK_DAYS)),
  );
  const lacking = found.flatMap(({ abilities }, index) => {
    const { name = 'first', placement = null } = places[index] ?? {};
    const where = `${name === 'first' ? '' : 'its second site: '}${placement === null ? '' : `placement ${placement}: `}`;
    return abilities === null ? [] : lackingAbilities(abilities).map((said) => `${where}${said}`);
  });
  return { problems: found.flatMap(({ problems }) => problems), abilities: found[0]?.abilities ?? null, lacking };
}

async function gatewayFindings(
  place: ProbedPlace,
  words: string,
  lockDays: number,
): Promise<{ readonly problems: Problem[]; readonly abilities: GatewayAbilities | null }> {
  const { s3, settings } = place;
  try {
    return { problems: [], abilities: await probePlace(place, lockDays) };
  } catch (error) {
    if (error instanceof GatewayRefused)
      return { problems: [{ problem: `${words}${error.problem}`, remedy: error.remedy }], abilities: null };
    if (!(error instanceof StoreUnavailable)) throw error;
    return {
      problems: [{ problem: `${words}${error.message}`, remedy: `see that ${s3.endpoint} runs (${settings}_ENDPOINT)` }],
      abilities: null,
    };
  }
}

/** All problems that stand in the way of `mw up` or of what runs, each with its remedy. */
export async function diagnose(): Promise<{
  readonly problems: readonly Problem[];
  readonly store: GatewayAbilities | null;
  readonly lacking: readonly string[];
}> {
  const settings = parseSettings(process.env);
  const paths = resolvePaths(process.env);
  const up = readState(paths)?.alive ?? false;
  const [store, ...parts] = await Promise.all([
    storeFindings(settings, up),
    toolProblems(),
    folderProblems(paths),
    encoderProblems(paths),
    clusterProblems(settings),
    up ? runningProblems(loadConfig(process.env)) : freePortProblems(settings, paths),
  ]);
  return { problems: [...parts.flat(), ...store.problems], store: store.abilities, lacking: store.lacking };
}

export const registerDoctor: RegisterCommand = (program) => {
  program
    .command('doctor')
    .description('list every problem and its remedy')
    .option('--json', 'print one JSON document')
    .action(async (options: { json?: boolean }) => {
      const { problems, store, lacking } = await diagnose();
      if (options.json) printJson({ problems, store });
      else if (problems.length === 0) console.log('no problems found');
      else for (const { problem, remedy } of problems) console.log(`- ${problem}\n  remedy: ${remedy}`);
      if (!options.json) for (const sentence of lacking) console.log(`the store goes without something: ${sentence}`);
      if (problems.length > 0) process.exitCode = 1;
    });
};
