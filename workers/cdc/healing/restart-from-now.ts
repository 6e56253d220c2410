import { canonicalJson } from '../../../core/json.ts';
import { nowMs, sleep } from '../../../platform/clock.ts';
import type { ConnectClient, Connector, ConnectorConfig } from '../../../platform/kafka-connect.ts';
import { withEpoch } from '../log-epoch.ts';

const pollMs = 300;
const stopDeadlineMs = 20_000;
const startDeadlineMs = 60_000;

const sameConfig = (a: ConnectorConfig, b: ConnectorConfig): boolean => canonicalJson({ ...a }) === canonicalJson({ ...b });

type Deps = {
  readonly connect: ConnectClient;
  /** Empties the topic, or creates it when it is missing. */
  readonly freshHistory: (topic: string) => Promise<void>;
  readonly signal: AbortSignal;
};

/**
 * Lets a connector forget where it was and start at the present end of the log: no row is read, since datasets read the tables themselves.
 * Whatever lies between is for a comparison to find, which must come after this. Safe to repeat from the beginning at any point.
 */
export async function restartFromNow({ connect, freshHistory, signal }: Deps, name: string, epoch: number): Promise<void> {
  await connect.stop(name);
  const stopped = await until(connect, name, stopDeadlineMs, signal, ({ state, tasks }) => state === 'STOPPED' && tasks.length === 0);
  const config = withEpoch({ ...stopped.config, 'snapshot.mode': 'no_data' }, epoch);
  if (!sameConfig(config, stopped.config)) await connect.putConfig(name, config);
  // What it says of positions that are no longer in the log would only mislead.
  const history = config['schema.history.internal.kafka.topic'];
  if (history !== undefined) await freshHistory(history);
  await connect.deleteOffsets(name);
  await connect.resume(name);
  await until(connect, name, startDeadlineMs, signal, ({ state, tasks, position, failures }) => {
    if (failures.length > 0) throw new Error(`it failed to start from the end of the log: ${failures[0]}`);
    return state === 'RUNNING' && tasks.length > 0 && position !== null && !position.snapshot;
  });
}

async function until(
  connect: ConnectClient,
  name: string,
  deadlineMs: number,
  signal: AbortSignal,
  reached: (connector: Connector) => boolean,
): Promise<Connector> {
  const endMs = nowMs() + deadlineMs;
  for (;;) {
    const connector = (await connect.connectors()).find((one) => one.name === name);
    if (!connector) throw new Error(`connector ${name} has disappeared`);
    if (reached(connector)) return connector;
    if (nowMs() > endMs) throw new Error(`connector ${name} is still ${connector.state} after ${deadlineMs / 1_000} s`);
    await sleep(pollMs, undefined, { signal });
  }
}
