import { connect } from 'node:net';

const probeTimeoutMs = 2_000;

/** Throws unless something accepts connections on the loopback port. */
export async function probePort(port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: probeTimeoutMs });
    socket.once('connect', () => socket.destroy() && resolve());
    socket.once('timeout', () => socket.destroy(new Error(`no answer on port ${port}`)));
    socket.once('error', reject);
  });
}

/** Throws unless the address answers with a 2xx status. */
export async function probeHttp(url: string): Promise<void> {
  const response = await fetch(url, { signal: AbortSignal.timeout(probeTimeoutMs) });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
}
