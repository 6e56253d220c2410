import { awaitConnector } from '../../../platform/await-connector.ts';
import {
  type ConnectClient,
  type Connector,
  type ConnectorConfig,
  hasBegun,
  isStopped,
  sameConfig,
} from '../../../platform/kafka-connect.ts';
import { withEpoch } from '../log-epoch.ts';

const stopDeadlineMs = 20_000;
const startDeadlineMs = 60_000;

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
  let before: ConnectorConfig = {};
  await awaitConnector(connect, name, { deadlineMs: stopDeadlineMs, signal }, (seen) => {
    const connector = there(seen, name);
    before = connector.config;
    return isStopped(connector) ? null : `is still ${connector.state}`;
  });
  const config = withEpoch({ ...before, 'snapshot.mode': 'no_data' }, epoch);
  if (!sameConfig(config, before)) await connect.putConfig(name, config);
  // What it says of positions that are no longer in the log would only mislead.
  const history = config['schema.history.internal.kafka.topic'];
  if (history !== undefined) await freshHistory(history);
  await connect.deleteOffsets(name);
  await connect.resume(name);
  await awaitConnector(connect, name, { deadlineMs: startDeadlineMs, signal }, (seen) => {
    const connector = there(seen, name);
    const { state, tasks, failures } = connector;
    if (failures.length > 0) throw new Error(`connector ${name} failed to start from the end of the log: ${failures[0]}`);
    return state === 'RUNNING' && tasks.length > 0 && hasBegun(connector) ? null : `is still ${state} without a position`;
  });
}

function there(connector: Connector | undefined, name: string): Connector {
  if (!connector) throw new Error(`connector ${name} has disappeared`);
  return connector;
}
