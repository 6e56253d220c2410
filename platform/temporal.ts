import { Client, Connection } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import type { Config } from './config.ts';

/** A client whose calls fail fast while the server is away; the connection is lazy, so a process starts without it. */
export function createTemporalClient(config: Pick<Config, 'temporal'>): { client: Client; close: () => Promise<void> } {
  const connection = Connection.lazy({ address: config.temporal.address, connectTimeout: '5s' });
  return { client: new Client({ connection, namespace: config.temporal.namespace }), close: () => connection.close() };
}

/** The worker's connection: waits until the server answers or the signal aborts. */
export async function connectWorker(config: Pick<Config, 'temporal'>, signal: AbortSignal): Promise<NativeConnection> {
  const retryMs = 500;
  for (;;) {
    try {
      return await NativeConnection.connect({ address: config.temporal.address });
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Error)) throw error;
      await new Promise((resolve) => setTimeout(resolve, retryMs));
      signal.throwIfAborted();
    }
  }
}
