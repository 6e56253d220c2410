import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { ApiClient } from '../../cli/api-client.ts';
import { Addresses } from '../../cli/pull/addresses.ts';
import type { Part } from '../../cli/pull/fetch-part.ts';
import { sha256Hex } from '../../platform/hash.ts';

/** What the server does instead of its duty; true: it has answered. */
type Whim = (request: IncomingMessage, response: ServerResponse, bytes: Buffer) => boolean;

/** A server that gives bytes out by their SHA-256, whole or from a place on, as an object store does at a presigned address. */
export class PartServer {
  readonly #server: Server;
  readonly #contents = new Map<string, Buffer>();
  /** Bytes that were sent. */
  sent = 0;
  /** The `range` of every request, in their order. */
  readonly ranges: (string | undefined)[] = [];
  /** Addresses of this round are good; those of former ones answer 403. */
  round = 0;
  whim: Whim = () => false;

  private constructor() {
    this.#server = createServer((request, response) => {
      const [, round = '', sha256 = ''] = (request.url ?? '').split('/');
      const bytes = this.#contents.get(sha256);
      const { range } = request.headers;
      this.ranges.push(range);
      if (Number(round) !== this.round) return void response.writeHead(403).end('expired');
      if (!bytes) return void response.writeHead(404).end();
      if (this.whim(request, response, bytes)) return undefined;
      const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
      const rest = bytes.subarray(from);
      this.sent += rest.byteLength;
      const about = { 'content-range': `bytes ${from}-${bytes.byteLength - 1}/${bytes.byteLength}`, 'content-length': rest.byteLength };
      return range === undefined
        ? void response.writeHead(200, { 'content-length': rest.byteLength }).end(rest)
        : void response.writeHead(206, about).end(rest);
    });
  }

  static async start(): Promise<PartServer> {
    const server = new PartServer();
    await new Promise<void>((resolve, reject) => server.#server.once('error', reject).listen(0, '127.0.0.1', resolve));
    return server;
  }

  put(path: string, content: Buffer): Part {
    const sha256 = sha256Hex(content);
    this.#contents.set(sha256, content);
    return { path, sha256, bytes: content.byteLength };
  }

  /** What is stored under that digest is something else from now on. */
  spoil(sha256: string, content: Buffer): void {
    this.#contents.set(sha256, content);
  }

  /** As the API gives them out; asked again, they are those of the present round. */
  async addresses(parts: readonly Part[], manifest: Pick<Part, 'sha256' | 'bytes'> = { sha256: 'none', bytes: 0 }): Promise<Addresses> {
    const { port } = this.#server.address() as { port: number };
    const addressed = (part: Pick<Part, 'sha256' | 'bytes'>) => ({
      ...part,
      url: `http://127.0.0.1:${port}/${this.round}/${part.sha256}`,
    });
    const call = <T>(): Promise<T> => Promise.resolve({ items: parts.map(addressed), manifest: addressed(manifest) } as T);
    return await Addresses.of({ call } as unknown as ApiClient, { customization: 'c', version: 1 });
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
