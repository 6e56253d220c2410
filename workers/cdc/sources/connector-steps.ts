import {
  type ConnectClient,
  type Connector,
  type ConnectorConfig,
  hasBegun,
  isRunning,
  isStopped,
  sameConfig,
} from '../../../platform/kafka-connect.ts';

/** Failures after which the position in the log, or the history of structures, is no use any more. */
const lostPosition =
  /no longer available on the server|purged required binary logs|re-execute the snapshot|history topic[^\n]*missing|schema isn't known to this connector/i;

export type ConnectorProgress = { readonly state: 'capturing' | 'starting' | 'failed'; readonly detail: string | null };

export type ConnectorWish = {
  readonly name: string;
  /** What there is of it now. */
  readonly connector: Connector | undefined;
  readonly config: ConnectorConfig;
  /** Before its position is given up: from then on nothing of its tables counts as compared. */
  readonly forget: () => Promise<void>;
};

const starting = (detail: string): ConnectorProgress => ({ state: 'starting', detail });

/**
 * Takes one connector at a time one step nearer to what is wished of it; called again until it captures. A change of the configuration goes
 * through STOPPED: only then is it sure that a task that runs afterwards captures what is configured now, and goes on where the last one ended.
 */
export function connectorSteps(connect: Omit<ConnectClient, 'connectors'>) {
  /** Stopped to begin anew. Not kept over a restart: a position that is lost is noticed again. */
  const beginningAnew = new Set<string>();

  return {
    async step({ name, connector, config, forget }: ConnectorWish): Promise<ConnectorProgress> {
      if (!connector) {
        await connect.putConfig(name, config);
        return starting('the connector of the database is made');
      }
      if (!sameConfig(connector.config, config) || beginningAnew.has(name)) {
        if (!isStopped(connector)) {
          await connect.stop(name);
          return starting('the connector of the database ends its task to take a change up');
        }
        if (beginningAnew.has(name)) {
          await forget();
          await connect.deleteOffsets(name);
          beginningAnew.delete(name);
        }
        await connect.putConfig(name, config);
        await connect.resume(name);
        return starting('the connector of the database starts again');
      }
      const { state, failures, trace } = connector;
      if (failures.length > 0) {
        const detail = failures[0] ?? '';
        if (!lostPosition.test(trace)) {
          await connect.restartFailed(name);
          return { state: 'failed', detail };
        }
        await forget();
        beginningAnew.add(name);
        return { state: 'failed', detail: `begins anew at the end of the log, then every row is compared: ${detail}` };
      }
      if (state === 'STOPPED') await connect.resume(name);
      if (state === 'PAUSED')
        return { state: 'failed', detail: `a person paused ${name} in Kafka Connect: changes wait until it is resumed there` };
      if (!isRunning(connector)) return starting('the connector of the database starts');
      return hasBegun(connector) ? { state: 'capturing', detail: null } : starting('the connector reads the structure of the tables');
    },

    /** Ends a connector whose database nobody maps any more, with its position: one that is made later begins anew. */
    async remove(connector: Connector): Promise<void> {
      if (!isStopped(connector)) return await connect.stop(connector.name);
      await connect.deleteOffsets(connector.name);
      await connect.remove(connector.name);
    },
  };
}
