import { type Server, type Socket, connect, createServer } from 'node:net';

/** A way to a server that can go silent with every connection left open, as behind a firewall that forgot them: nothing is closed, nothing comes. */
export class StallingProxy {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #silent = false;

  private constructor(target: number) {
    this.#server = createServer((near) => {
      const pair = [near, connect(target, '127.0.0.1')] as const;
      this.#pairs.add(pair);
      for (const socket of pair) {
        socket.once('close', () => {
          this.#pairs.delete(pair);
          for (const one of pair) one.destroy();
        });
        // Either end may reset its connection; the close says it all.
        socket.on('error', () => undefined);
      }
      if (!this.#silent) join(pair);
    });
  }

  static async to(target: number): Promise<StallingProxy> {
    const proxy = new StallingProxy(target);
    await new Promise<void>((resolve, reject) => proxy.#server.once('error', reject).listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** From now on no byte gets through, on connections of before and on new ones. */
  goSilent(): void {
    this.#silent = true;
    for (const [near, far] of this.#pairs) {
      near.unpipe(far).pause();
      far.unpipe(near).pause();
    }
  }

  /** New connections get through; those of before stay as dead as they are. */
  letNewThrough(): void {
    this.#silent = false;
  }

  async stop(): Promise<void> {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function join([near, far]: readonly [Socket, Socket]): void {
  near.pipe(far).pipe(near);
}
