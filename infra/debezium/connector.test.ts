import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createConnectClient } from '../../platform/kafka-connect.ts';
import { connectorState, registerConnector } from './connector.ts';

type Answer = { readonly status: number; readonly body?: unknown };

/** A server that speaks as much of Kafka Connect's REST interface as registering needs, and gives or loses the answers that the test wants. */
class HandConnect {
  readonly #server: Server;
  readonly puts: Record<string, string>[] = [];
  restarts = 0;
  config: Record<string, string> | null = null;
  taskState = 'RUNNING';
  /** How the next PUT goes wrong: after it was done, or instead. */
  nextPut: 'answer lost' | number | null = null;
  /** Looks at the offsets until there are some. */
  looksToPosition = 0;

  private constructor() {
    this.#server = createServer((request, response) => {
      void (async () => {
        let text = '';
        for await (const chunk of request) text += String(chunk);
        const answer = this.#answer(request.method ?? '', request.url ?? '', text);
        if (answer === null) request.socket.destroy();
        else response.writeHead(answer.status).end(answer.body === undefined ? '' : JSON.stringify(answer.body));
      })();
    });
  }

  static async start(): Promise<HandConnect> {
    const connect = new HandConnect();
    await new Promise<void>((resolve) => connect.#server.listen(0, '127.0.0.1', resolve));
    return connect;
  }

  get client() {
    return createConnectClient(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`);
  }

  #answer(method: string, url: string, text: string): Answer | null {
    if (method === 'PUT') {
      const fault = this.nextPut;
      this.nextPut = null;
      if (typeof fault === 'number') return { status: fault, body: { message: text } };
      this.puts.push(JSON.parse(text) as Record<string, string>);
      this.config = { name: 'modelwright', ...this.puts.at(-1) };
      return fault === 'answer lost' ? null : { status: 201, body: {} };
    }
    if (url.includes('/restart')) {
      this.restarts += 1;
      this.taskState = 'RUNNING';
      return { status: 202, body: {} };
    }
    if (url.endsWith('/offsets')) {
      this.looksToPosition -= 1;
      const offset = { file: 'binlog.000001', pos: 4, ...(this.looksToPosition === 0 ? { snapshot: 'INITIAL' } : {}) };
      return { status: 200, body: { offsets: this.looksToPosition > 0 ? [] : [{ partition: {}, offset }] } };
    }
    const status = { connector: { state: 'RUNNING' }, tasks: [{ id: 0, state: this.taskState, trace: 'Connection refused' }] };
    return { status: 200, body: this.config ? { modelwright: { status, info: { config: this.config } } } : {} };
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const started: HandConnect[] = [];
async function connectServer(): Promise<HandConnect> {
  const connect = await HandConnect.start();
  started.push(connect);
  return connect;
}
afterEach(async () => {
  for (const one of started.splice(0)) await one.stop();
});

const wanted = { 'database.password': 'secret', 'tasks.max': '1' };
const never = new AbortController().signal;

describe('registering the connector', () => {
  it('waits for its position when the answer to the registration is lost', async () => {
    const connect = await connectServer();
    connect.nextPut = 'answer lost';
    connect.looksToPosition = 3;
    await registerConnector(connect.client, wanted, never);
    expect(connect.puts).toEqual([wanted]);
    // Two looks without a position, one in the middle of the first snapshot, and then one with it.
    expect(connect.looksToPosition).toBe(-1);
  });

  it('waits for one that somebody registered before and that has no position yet, and restarts it when it fails', async () => {
    const connect = await connectServer();
    connect.config = { name: 'modelwright', ...wanted };
    connect.taskState = 'FAILED';
    connect.looksToPosition = 2;
    await registerConnector(connect.client, wanted, never);
    expect([connect.puts.length, connect.restarts, connect.looksToPosition]).toEqual([0, 1, -1]);
  });

  it('leaves one that has its position alone, with the transforms of a reset log, whatever state its task is in', async () => {
    const connect = await connectServer();
    connect.config = { name: 'modelwright', ...wanted, transforms: 'mwEpoch' };
    connect.taskState = 'FAILED';
    await registerConnector(connect.client, wanted, never);
    expect([connect.puts.length, connect.restarts]).toEqual([0, 0]);
    expect(await connectorState(connect.client)).toEqual({ state: 'failed', detail: 'Connection refused' });
    await registerConnector(connect.client, { ...wanted, 'tasks.max': '2' }, never);
    expect(connect.puts).toEqual([{ ...wanted, 'tasks.max': '2', transforms: 'mwEpoch' }]);
  });

  it('tries again what a worker that starts or moves its tasks refuses, and not a wrong configuration, of which no word is told', async () => {
    const connect = await connectServer();
    connect.nextPut = 409;
    await registerConnector(connect.client, wanted, never);
    expect(connect.puts).toEqual([wanted]);
    connect.config = null;
    connect.nextPut = 400;
    const refusal = await registerConnector(connect.client, wanted, never).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ name: 'ConnectFailure', passing: false, message: expect.stringContaining('400') });
    expect(String(refusal)).not.toContain('secret');
  });

  it('ends when it is told to stop', async () => {
    const connect = await connectServer();
    connect.looksToPosition = 1_000_000;
    const stop = new AbortController();
    const registering = registerConnector(connect.client, wanted, stop.signal);
    await expect.poll(() => connect.puts.length, { timeout: 10_000 }).toBe(1);
    stop.abort();
    await expect(registering).rejects.toMatchObject({ name: 'AbortError' });
  });
});
