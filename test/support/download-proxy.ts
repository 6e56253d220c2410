import { type IncomingMessage, type Server, type ServerResponse, createServer, request as send } from 'node:http';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';

type Files = { readonly items: readonly { readonly url: string }[]; readonly manifest: { readonly url: string } };

/** In front of the API and the store, for whoever downloads: addresses that the API gives out lead through it. */
export class DownloadProxy {
  readonly #server: Server;
  /** Bytes of the store that were passed on. */
  passed = 0;
  /** When so many bytes have passed, nothing more does: connections stay open, silent. */
  holdAfter = Infinity;
  /** A connection to the store ends after so many bytes. */
  breakAfter = Infinity;
  /** The next addresses that the API gives out are changed by this, once. */
  spoilAddress: ((url: string) => Promise<string>) | null = null;

  private constructor(api: number, store: number) {
    this.#server = createServer((request, response) => {
      const pass = request.url?.startsWith('/v1/') ? this.#ofApi(api, request, response) : this.#ofStore(store, request, response);
      pass.catch(() => response.destroy());
    });
  }

  static async before(api: number, store: number): Promise<DownloadProxy> {
    const proxy = new DownloadProxy(api, store);
    await new Promise<void>((resolve, reject) => proxy.#server.once('error', reject).listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  async #ofApi(port: number, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = await answerOf(port, request, request.headers.host ?? '');
    const status = answer.statusCode ?? 500;
    const body = await text(answer);
    response.writeHead(status, { 'content-type': answer.headers['content-type'] ?? '' });
    if (status !== 200 || !request.url?.endsWith('/files')) return void response.end(body);
    const spoil = this.spoilAddress ?? ((url: string) => Promise.resolve(url));
    this.spoilAddress = null;
    const through = async <T extends { readonly url: string }>(one: T): Promise<T> => {
      const { pathname, search } = new URL(await spoil(one.url));
      return { ...one, url: `${this.url}${pathname}${search}` };
    };
    const files = JSON.parse(body) as Files;
    response.end(JSON.stringify({ ...files, items: await Promise.all(files.items.map(through)), manifest: await through(files.manifest) }));
  }

  async #ofStore(port: number, request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Addresses are signed for the store's own name.
    const answer = await answerOf(port, request, `127.0.0.1:${port}`);
    response.writeHead(answer.statusCode ?? 500, answer.headers);
    let own = 0;
    const passing = new Transform({
      transform: (chunk: Buffer, _encoding, next) => {
        own += chunk.byteLength;
        if (own > this.breakAfter) return next(new Error('broken off'));
        if (this.passed + chunk.byteLength > this.holdAfter) return;
        this.passed += chunk.byteLength;
        next(null, chunk);
      },
    });
    await pipeline(answer, passing, response);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const answerOf = async (port: number, { url, headers }: IncomingMessage, host: string): Promise<IncomingMessage> =>
  await new Promise((resolve, reject) =>
    send({ port, host: '127.0.0.1', path: url, headers: { ...headers, host } }, resolve)
      .once('error', reject)
      .end(),
  );
