import type { ConnectRest, ConnectorStatus } from '../../../infra/debezium/connect-rest.ts';

/** Failures after which the position in the log, or the history of structures, is no use any more. */
const lostPosition =
  /no longer available on the server|purged required binary logs|re-execute the snapshot|history topic[^\n]*missing|schema isn't known to this connector/i;

export type ConnectorProgress = { readonly state: 'capturing' | 'starting' | 'failed'; readonly detail: string | null };

export type ConnectorWish = {
  readonly name: string;
  readonly config: Record<string, string>;
  /** Before its position is given up: from then on nothing of its tables counts as compared. */
  readonly forget: () => Promise<void>;
};

const starting = (detail: string): ConnectorProgress => ({ state: 'starting', detail });

/** Connect adds the name; all else must be as wished. */
function isConfigured(actual: Record<string, string>, wanted: Record<string, string>): boolean {
  const { name: _name, ...settings } = actual;
  const keys = Object.keys(wanted);
  return Object.keys(settings).length === keys.length && keys.every((key) => settings[key] === wanted[key]);
}

const isStopped = ({ connector, tasks }: ConnectorStatus): boolean => connector.state === 'STOPPED' && tasks.length === 0;

/**
 * Takes one connector at a time one step nearer to what is wished of it; called again until it captures. A change of the configuration goes
 * through STOPPED: only then is it sure that a task that runs afterwards captures what is configured now, and goes on where the last one ended.
 */
export function connectorSteps(connect: ConnectRest) {
  /** Stopped to begin anew. Not kept over a restart: a position that is lost is noticed again. */
  const beginningAnew = new Set<string>();

  return {
    async step({ name, config, forget }: ConnectorWish): Promise<ConnectorProgress> {
      const [status, actual] = [await connect.status(name), await connect.config(name)];
      if (!actual) {
        await connect.put(name, config);
        return starting('the connector of the database is made');
      }
      if (!status) return starting('Kafka Connect takes the connector up');
      if (!isConfigured(actual, config) || beginningAnew.has(name)) {
        if (!isStopped(status)) {
          await connect.stop(name);
          return starting('the connector of the database ends its task to take a change up');
        }
        if (beginningAnew.has(name)) {
          await forget();
          await connect.forgetOffsets(name);
          beginningAnew.delete(name);
        }
        await connect.put(name, config);
        await connect.resume(name);
        return starting('the connector of the database starts again');
      }
      const { connector, tasks } = status;
      const failed = [connector, ...tasks].find(({ state }) => state === 'FAILED');
      if (failed) {
        const trace = failed.trace ?? 'the connector failed';
        const detail = trace.split('\n')[0] ?? '';
        if (!lostPosition.test(trace)) {
          await connect.restartFailed(name);
          return { state: 'failed', detail };
        }
        await forget();
        beginningAnew.add(name);
        return { state: 'failed', detail: `begins anew at the end of the log, then every row is compared: ${detail}` };
      }
      if (connector.state === 'STOPPED') await connect.resume(name);
      if (connector.state === 'PAUSED')
        return { state: 'failed', detail: `a person paused ${name} in Kafka Connect: changes wait until it is resumed there` };
      const running = connector.state === 'RUNNING' && tasks.length > 0 && tasks.every(({ state }) => state === 'RUNNING');
      if (!running) return starting('the connector of the database starts');
      return (await connect.streams(name))
        ? { state: 'capturing', detail: null }
        : starting('the connector reads the structure of the tables');
    },

    /** Ends a connector whose database nobody maps any more, with its position: one that is made later begins anew. */
    async remove(name: string): Promise<void> {
      const status = await connect.status(name);
      if (!status) return;
      if (!isStopped(status)) return await connect.stop(name);
      await connect.forgetOffsets(name);
      await connect.remove(name);
    },
  };
}
