import { Agent, type IncomingMessage, type Server, type ServerResponse, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** What may go wrong with one request. «After»: the server has done what it was asked, and the client does not learn it. */
export const faults = [
  'error-before',
  'error-after',
  'reset-before',
  'reset-after',
  'silent-after',
  // The answer's body ends halfway: with its length told, and without.
  'body-broken-off',
  'body-short',
  // As long as it should be, with some bytes changed.
  'body-wrong',
  // The request's body ends halfway, or arrives with a byte changed.
  'upload-broken-off',
  'upload-wrong',
  'slow',
] as const;
export type Fault = (typeof faults)[number];

export type Seen = { readonly method: string; readonly path: string; readonly number: number };
/** Null: nothing goes wrong. Another answer is given in the server's place. */
export type Plan = (seen: Seen) => Fault | { readonly status: number; readonly body: string } | null;

const slowMs = 150;

async function bytesOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
function flipped(bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes);
  const middle = changed.byteLength >> 1;
  if (changed.byteLength > 0) changed[middle] = (changed[middle] ?? 0) ^ 0x20;
  return changed;
}
/** 503 every other time, as a gateway does that wants clients to slow down. */
const errorOf = ({ number }: Seen): { status: number; body: string } => {
  const [status, code] = number % 2 === 0 ? ([500, 'InternalError'] as const) : ([503, 'SlowDown'] as const);
  return { status, body: `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>by plan</Message></Error>` };
};

/** An HTTP proxy in front of an S3 server in which things go wrong by a plan. Signatures hold: it keeps the Host that the client signed. */
export class FaultProxy {
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #target: number;
  /** May be changed at any time; counts requests from 0 anew for every plan. */
  #plan: Plan = () => null;
  #requests = 0;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((incoming, answer) => {
      // Either end may break off: that is what this is for.
      this.#pass(incoming, answer).catch(() => incoming.socket.destroy());
    });
  }

  static async to(target: number): Promise<FaultProxy> {
    const proxy = new FaultProxy(target);
    await new Promise<void>((resolve, reject) => proxy.#server.once('error', reject).listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** How many requests came under the plan of now. */
  get requests(): number {
    return this.#requests;
  }

  follow(plan: Plan): void {
    this.#plan = plan;
    this.#requests = 0;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#agent.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #pass(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const seen = { method: incoming.method ?? '', path: incoming.url ?? '', number: this.#requests++ };
    const fault = this.#plan(seen);
    const body = await bytesOf(incoming);
    if (fault !== null && typeof fault === 'object') return respond(answer, fault);
    if (fault === 'error-before') return respond(answer, errorOf(seen));
    if (fault === 'reset-before') return void incoming.socket.destroy();
    const sent = fault === 'upload-wrong' ? flipped(body) : body;
    const upstream = this.#forward(incoming, sent, fault === 'upload-broken-off' && body.byteLength > 0);
    if (upstream === null) return void incoming.socket.destroy();
    const { message, bytes } = await upstream;
    if (fault === 'error-after') return respond(answer, errorOf(seen));
    if (fault === 'reset-after') return void incoming.socket.destroy();
    if (fault === 'silent-after') return;
    if (fault === 'slow') await sleep(slowMs);
    const headers = { ...message.headers };
    // Hop by hop: each connection has its own.
    for (const name of ['connection', 'keep-alive', 'transfer-encoding']) delete headers[name];
    if (fault === 'body-short') delete headers['content-length'];
    answer.writeHead(message.statusCode ?? 502, headers);
    const half = bytes.subarray(0, bytes.byteLength >> 1);
    if (fault === 'body-broken-off' && bytes.byteLength > 0) {
      answer.write(half, () => incoming.socket.destroy());
      return;
    }
    if (fault === 'body-short') answer.end(half);
    else answer.end(fault === 'body-wrong' ? flipped(bytes) : bytes);
  }

  /** Null when the request was broken off halfway: nobody will ever answer it. */
  #forward(incoming: IncomingMessage, body: Buffer, breakOff: boolean): Promise<{ message: IncomingMessage; bytes: Buffer }> | null {
    const { method, url: path, headers } = incoming;
    // The body is here already: nobody waits to be told to go on.
    const { expect: _expect, ...rest } = headers;
    const passed = request({ host: '127.0.0.1', port: this.#target, method, path, headers: rest, agent: breakOff ? false : this.#agent });
    if (breakOff) {
      passed.on('error', () => undefined);
      passed.write(body.subarray(0, body.byteLength >> 1), () => passed.destroy());
      return null;
    }
    return new Promise((resolve, reject) => {
      passed.once('error', reject);
      passed.once('response', (message) => bytesOf(message).then((bytes) => resolve({ message, bytes }), reject));
      passed.end(body);
    });
  }
}

function respond(answer: ServerResponse, { status, body }: { readonly status: number; readonly body: string }): void {
  answer.writeHead(status, { 'content-type': 'application/xml', 'content-length': Buffer.byteLength(body) }).end(body);
}
