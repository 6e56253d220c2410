import { z } from 'zod';

const requestTimeoutMs = 10_000;
/** All connectors of this platform have names that begin so; others on the same workers are none of our business. */
export const connectorNamePrefix = 'modelwright';

const statusSchema = z.looseObject({
  connector: z.looseObject({ state: z.string(), trace: z.string().optional() }),
  tasks: z.array(z.looseObject({ id: z.number(), state: z.string(), trace: z.string().optional() })),
});
const expandedSchema = z.record(
  z.string(),
  z.looseObject({ status: statusSchema.optional(), info: z.looseObject({ config: z.record(z.string(), z.string()) }).optional() }),
);
const offsetsSchema = z.looseObject({
  offsets: z.array(
    z.looseObject({
      offset: z
        .looseObject({
          gtids: z.string().nullish(),
          file: z.string().nullish(),
          pos: z.number().nullish(),
          snapshot: z.unknown().optional(),
        })
        .nullable(),
    }),
  ),
});

export type ConnectorConfig = Readonly<Record<string, string>>;

/** Where a connector stands in the source's log, as Kafka Connect has stored it: at most a second old. */
export type ConnectorPosition = {
  readonly gtids: string;
  readonly file: string;
  readonly pos: number;
  readonly snapshot: boolean;
  /** All of it: equal texts mean that it has not moved. */
  readonly text: string;
};

export type Connector = {
  readonly name: string;
  /** RUNNING, FAILED, PAUSED, STOPPED, UNASSIGNED, RESTARTING */
  readonly state: string;
  readonly failures: readonly string[];
  readonly tasks: readonly { readonly id: number; readonly state: string }[];
  readonly config: ConnectorConfig;
  /** Null before the first snapshot is complete, and after the offsets were deleted. */
  readonly position: ConnectorPosition | null;
};

/** Kafka Connect answered with an error; the message has no configuration in it. */
export class ConnectRefused extends Error {
  override name = 'ConnectRefused';
}

/** What the platform asks of Kafka Connect's REST interface. Every call may be repeated. */
export type ConnectClient = {
  readonly connectors: () => Promise<readonly Connector[]>;
  /** Creates it stopped, so that its position can be looked at before it runs. */
  readonly createStopped: (name: string, config: ConnectorConfig) => Promise<void>;
  readonly putConfig: (name: string, config: ConnectorConfig) => Promise<void>;
  readonly restartFailed: (name: string) => Promise<void>;
  readonly restart: (name: string) => Promise<void>;
  readonly stop: (name: string) => Promise<void>;
  readonly resume: (name: string) => Promise<void>;
  /** Only while it is stopped. */
  readonly deleteOffsets: (name: string) => Promise<void>;
};

export function createConnectClient(url: string): ConnectClient {
  async function call(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${url}${path}`, {
      method,
      signal: AbortSignal.timeout(requestTimeoutMs),
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    const text = await response.text();
    // A refused configuration is quoted in the answer, passwords and all: only the status goes on.
    if (!response.ok)
      throw new ConnectRefused(`Kafka Connect answered ${response.status} to ${method} ${path.split('?')[0] ?? path}: see its log`);
    return text === '' ? null : (JSON.parse(text) as unknown);
  }
  const path = (name: string, rest = ''): string => `/connectors/${encodeURIComponent(name)}${rest}`;
  const done = async (calling: Promise<unknown>): Promise<void> => void (await calling);
  return {
    async connectors() {
      const all = expandedSchema.parse(await call('GET', '/connectors?expand=status&expand=info'));
      const ours = Object.entries(all).filter(([name]) => name.startsWith(connectorNamePrefix));
      return await Promise.all(
        ours.map(async ([name, { status, info }]): Promise<Connector> => {
          const tasks = status?.tasks ?? [];
          const failed = [status?.connector, ...tasks].filter((one) => one?.state === 'FAILED');
          return {
            name,
            state: status?.connector.state ?? 'UNASSIGNED',
            tasks: tasks.map(({ id, state }) => ({ id, state })),
            failures: failed.map((one) => firstLine(one?.trace)),
            config: info?.config ?? {},
            position: positionOf(offsetsSchema.parse(await call('GET', path(name, '/offsets')))),
          };
        }),
      );
    },
    createStopped: (name, config) => done(call('POST', '/connectors', { name, config, initial_state: 'STOPPED' })),
    putConfig: (name, config) => done(call('PUT', path(name, '/config'), config)),
    restartFailed: (name) => done(call('POST', path(name, '/restart?includeTasks=true&onlyFailed=true'))),
    restart: (name) => done(call('POST', path(name, '/restart?includeTasks=true'))),
    stop: (name) => done(call('PUT', path(name, '/stop'))),
    resume: (name) => done(call('PUT', path(name, '/resume'))),
    deleteOffsets: (name) => done(call('DELETE', path(name, '/offsets'))),
  };
}

/** Long enough to tell one failure from another, without the dumps of state that Debezium puts behind them. */
const maxFailureChars = 200;

function firstLine(trace: string | undefined): string {
  const lines = (trace ?? '').split('\n');
  const cause = lines.findLast((line) => line.startsWith('Caused by: ')) ?? lines[0] ?? '';
  return cause.replace('Caused by: ', '').slice(0, maxFailureChars) || 'no reason is given';
}

function positionOf({ offsets }: z.infer<typeof offsetsSchema>): ConnectorPosition | null {
  const offset = offsets.find(({ offset }) => offset !== null)?.offset;
  if (!offset) return null;
  const { gtids, file, pos, snapshot } = offset;
  return { gtids: gtids ?? '', file: file ?? '', pos: pos ?? 0, snapshot: Boolean(snapshot), text: JSON.stringify(offset) };
}
