import { createServer } from 'node:http';
import type { Registry } from 'prom-client';

/** A named check that throws, with a sentence for a stranger, when the process cannot do its work. */
export type ReadinessCheck = { readonly name: string; readonly check: () => Promise<void> };

/** Runs all checks; the answer of /readyz. */
export async function readiness(
  checks: readonly ReadinessCheck[],
): Promise<{ ready: boolean; checks: { name: string; ok: boolean; detail?: string }[] }> {
  const results = await Promise.all(
    checks.map(async ({ name, check }) => {
      try {
        await check();
        return { name, ok: true };
      } catch (error) {
        return { name, ok: false, detail: error instanceof Error ? error.message : String(error) };
      }
    }),
  );
  return { ready: results.every(({ ok }) => ok), checks: results };
}

/** /livez, /readyz and /metrics of a worker process. */
export async function startHealthServer(options: {
  readonly host: string;
  readonly port: number;
  readonly registry: Registry;
  readonly checks: readonly ReadinessCheck[];
}): Promise<() => Promise<void>> {
  const server = createServer(async (request, response) => {
    const send = (status: number, type: string, body: string): void => void response.writeHead(status, { 'content-type': type }).end(body);
    if (request.url === '/livez') send(200, 'application/json', '{"live":true}');
    else if (request.url === '/readyz') {
      const result = await readiness(options.checks);
      send(result.ready ? 200 : 503, 'application/json', JSON.stringify(result));
    } else if (request.url === '/metrics') send(200, options.registry.contentType, await options.registry.metrics());
    else send(404, 'text/plain', 'see /livez, /readyz, /metrics\n');
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(options.port, options.host, resolve));
  return async () => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
}
