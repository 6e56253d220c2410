import { z } from 'zod';

const requestTimeoutMs = 10_000;

const statusSchema = z.looseObject({
  connector: z.looseObject({ state: z.string(), trace: z.string().optional() }),
  tasks: z.array(z.looseObject({ state: z.string(), trace: z.string().optional() })),
});
const offsetsSchema = z.looseObject({
  offsets: z.array(z.looseObject({ offset: z.looseObject({ snapshot: z.unknown().optional() }).nullable() })),
});

export type ConnectorStatus = z.infer<typeof statusSchema>;

/** Kafka Connect's REST interface, as far as connectors of mapped tables need it. Every call may be repeated. */
export function connectRest(url: string) {
  async function ask(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${url}/connectors${path}`, {
      method,
      signal: AbortSignal.timeout(requestTimeoutMs),
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    if (response.status === 404) return null;
    const text = await response.text();
    // The body of a refusal may quote the configuration.
    if (!response.ok) throw new Error(`Kafka Connect answers ${method} ${path || '/'} with ${response.status}: see the log of \`connect\``);
    return text === '' ? {} : JSON.parse(text);
  }
  const at = (name: string): string => `/${encodeURIComponent(name)}`;
  return {
    /** Fails while Connect starts: it answers 404 then, whatever it has. */
    names: async (): Promise<string[]> => {
      const answer = await ask('GET', '');
      if (answer === null) throw new Error('Kafka Connect is starting');
      return z.array(z.string()).parse(answer);
    },
    /** Null: there is no such connector. */
    status: async (name: string): Promise<ConnectorStatus | null> => {
      const answer = await ask('GET', `${at(name)}/status`);
      return answer === null ? null : statusSchema.parse(answer);
    },
    config: async (name: string): Promise<Record<string, string> | null> => {
      const answer = await ask('GET', `${at(name)}/config`);
      return answer === null ? null : z.record(z.string(), z.string()).parse(answer);
    },
    put: async (name: string, config: Record<string, string>): Promise<void> => {
      if ((await ask('PUT', `${at(name)}/config`, config)) === null) throw new Error('Kafka Connect is starting');
    },
    /** Ends the tasks and removes them from the status: a task that is seen later runs with the configuration of then. */
    stop: async (name: string): Promise<void> => void (await ask('PUT', `${at(name)}/stop`)),
    resume: async (name: string): Promise<void> => void (await ask('PUT', `${at(name)}/resume`)),
    restartFailed: async (name: string): Promise<void> => void (await ask('POST', `${at(name)}/restart?includeTasks=true&onlyFailed=true`)),
    /** Whether the connector knows its position in the log and is past its snapshot. */
    streams: async (name: string): Promise<boolean> => {
      const answer = await ask('GET', `${at(name)}/offsets`);
      if (answer === null) return false;
      const { offsets } = offsetsSchema.parse(answer);
      return offsets.length > 0 && offsets.every(({ offset }) => offset !== null && !offset.snapshot);
    },
    /** Only of a stopped connector. */
    forgetOffsets: async (name: string): Promise<void> => void (await ask('DELETE', `${at(name)}/offsets`)),
    remove: async (name: string): Promise<void> => void (await ask('DELETE', at(name))),
  };
}
export type ConnectRest = ReturnType<typeof connectRest>;
