import { connect, createServer, type Socket } from 'node:net';

/** A way to an S3 server over which every byte that a client sends is counted: requests with their heads, whatever they are for. */
export async function countedEndpoint(
  endpoint: string,
): Promise<{ readonly endpoint: string; readonly sent: () => number; readonly close: () => Promise<void> }> {
  const { protocol, hostname, port } = new URL(endpoint);
  if (protocol !== 'http:') throw new Error(`bytes to ${endpoint} cannot be counted: only http is`);
  let sent = 0;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(port || 80), hostname);
    near.on('data', ({ length }) => void (sent += length));
    near.pipe(far).pipe(near);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port: own } = server.address() as { port: number };
  return {
    endpoint: `http://127.0.0.1:${own}`,
    sent: () => sent,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
