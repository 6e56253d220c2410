import { Agent, request } from 'node:http';
import { percentile } from '../support/figures.ts';

export type Answered = { readonly label: string; readonly score: number };
/** Asks for one text and gives its answer. */
export type Ask = (text: string) => Promise<Answered>;
export type Load = {
  readonly concurrency: number;
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMsPerRequest: number;
};

/** One HTTP client for both servers, with connections that are kept. */
export function asker(url: string, headers: Readonly<Record<string, string>>, bodyOf: (text: string) => object): Ask {
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  return async (text) => {
    const body = Buffer.from(JSON.stringify(bodyOf(text)));
    const answer = await new Promise<string>((resolve, reject) => {
      const sent = request(
        url,
        { agent, method: 'POST', headers: { ...headers, 'content-type': 'application/json', 'content-length': body.byteLength } },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString('utf8');
            if (response.statusCode === 200) resolve(text);
            else reject(new Error(`${url} answered ${response.statusCode}: ${text}`));
          });
          response.on('error', reject);
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
    const [output] = (JSON.parse(answer) as { outputs: readonly Answered[] }).outputs;
    if (!output) throw new Error(`${url} gave no answer`);
    return output;
  };
}

/** So many clients, each of which asks again as soon as it has its answer; `cpuMs` is what the server has used so far. */
export async function closedLoop(
  ask: Ask,
  texts: readonly string[],
  concurrency: number,
  durationMs: number,
  cpuMs: () => number,
): Promise<Load> {
  const latencies: number[] = [];
  let next = 0;
  const fromCpu = cpuMs();
  const from = performance.now();
  const client = async (): Promise<void> => {
    while (performance.now() - from < durationMs) {
      const sent = performance.now();
      await ask(texts[next++ % texts.length] as string);
      latencies.push(performance.now() - sent);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, client));
  const seconds = (performance.now() - from) / 1_000;
  return {
    concurrency,
    requests: latencies.length,
    perSecond: latencies.length / seconds,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    cpuMsPerRequest: (cpuMs() - fromCpu) / latencies.length,
  };
}
