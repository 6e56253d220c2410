import { z } from 'zod';
import { canonicalJson } from '../core/json.ts';

const requestTimeoutMs = 10_000;
/** A configuration is checked against MySQL and Kafka before it is taken: on a busy machine that is not done in a moment. */
const configTimeoutMs = 30_000;
const badRequest = 400;
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
  /** Of the connector and its tasks, each in a line. */
  readonly failures: readonly string[];
  /** Everything that is said of the failures; it may quote statements, and is not for a log. */
  readonly trace: string;
  readonly tasks: readonly { readonly id: number; readonly state: string }[];
  readonly config: ConnectorConfig;
  /** Null before the first snapshot is complete, and after the offsets were deleted. */
  readonly position: ConnectorPosition | null;
};

/** Kafka Connect adds the name; all else is as it was given. */
export function sameConfig({ name: _a, ...a }: ConnectorConfig, { name: _b, ...b }: ConnectorConfig): boolean {
  return canonicalJson(a) === canonicalJson(b);
}

/** Past its first look at the tables' structure: it knows its position in the log, and reads from there. */
export const hasBegun = ({ position }: Connector): boolean => position !== null && !position.snapshot;

export const isRunning = ({ state, tasks }: Connector): boolean =>
  state === 'RUNNING' && tasks.length > 0 && tasks.every((task) => task.state === 'RUNNING');

/** Its tasks have ended, too: nothing writes its position any more. */
export const isStopped = ({ state, tasks }: Connector): boolean => state === 'STOPPED' && tasks.length === 0;

/** Kafka Connect refused or did not answer; the message has no configuration in it. */
export class ConnectFailure extends Error {
  override name = 'ConnectFailure';
  /** False: what was asked is wrong, and asking again changes nothing. One that starts, or that moves its tasks, answers with passing failures. */
  readonly passing: boolean;
  constructor(message: string, passing: boolean, cause?: unknown) {
    super(message, { cause });
    this.passing = passing;
  }
}

/**
 * What the platform asks of Kafka Connect's REST interface; all that speaks to it goes through here. Every call may be repeated, fails with
 * `ConnectFailure`, and is not repeated by itself: whoever asks looks again at what is there, since a call without an answer may have been done.
 */
export type ConnectClient = {
  /** Fails while Kafka Connect starts: it knows of none then. */
  readonly connectors: () => Promise<readonly Connector[]>;
  /** Creates it stopped, so that its position can be looked at before it runs. */
  readonly createStopped: (name: string, config: ConnectorConfig) => Promise<void>;
  readonly putConfig: (name: string, config: ConnectorConfig) => Promise<void>;
  readonly restartFailed: (name: string) => Promise<void>;
  readonly restart: (name: string) => Promise<void>;
  /** Ends the tasks and removes them from the status: a task that is seen later runs with the configuration of then. */
  readonly stop: (name: string) => Promise<void>;
  readonly resume: (name: string) => Promise<void>;
  /** Only while it is stopped. */
  readonly deleteOffsets: (name: string) => Promise<void>;
  readonly remove: (name: string) => Promise<void>;
};

export function createConnectClient(url: string): ConnectClient {
  async function call(method: string, path: string, body?: unknown): Promise<unknown> {
    const asked = `${method} ${path.split('?')[0] ?? path}`;
    const timeoutMs = body === undefined ? requestTimeoutMs : configTimeoutMs;
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${url}${path}`, {
        method,
        signal: AbortSignal.timeout(timeoutMs),
        ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      });
      text = await response.text();
    } catch (error) {
      throw new ConnectFailure(`Kafka Connect does not answer ${asked}: ${reasonOf(error)}`, true, error);
    }
    // A refused configuration is quoted in the answer, passwords and all: only the status goes on.
    if (!response.ok)
      throw new ConnectFailure(
        `Kafka Connect answered ${response.status} to ${asked}: see the log of \`connect\``,
        response.status !== badRequest,
      );
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
            trace: failed.map((one) => one?.trace ?? '').join('\n'),
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
    remove: (name) => done(call('DELETE', path(name))),
  };
}

/** `fetch failed` says nothing: what the socket said does. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? message ?? String(error);
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
