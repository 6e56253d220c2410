import { sleep } from '../../platform/clock.ts';
import { trainerContainer } from './job-manifest.ts';
import type { ClusterClient } from './cluster-client.ts';
import { readLines } from './read-lines.ts';

/** After a disconnect the log is followed again, and never more often than this; less often while it cannot be. */
const leastPauseMs = 1_000;
const longestPauseMs = 15_000;
/** What was printed before this worker looked is worth this much. */
const firstLines = 200;

/** Every line that the trainer of a pod prints, once each, also over a disconnect; until the signal. The pod's end is seen elsewhere. */
export async function followLog(
  cluster: ClusterClient,
  pod: string,
  hear: { readonly line: (line: string) => void; readonly connected: (yes: boolean) => void },
  signal: AbortSignal,
): Promise<void> {
  const path = `/api/v1/namespaces/${cluster.namespace}/pods/${pod}/log`;
  let last = '';
  let pauseMs = leastPauseMs;
  while (!signal.aborted) {
    try {
      const from: Record<string, string> = last === '' ? { tailLines: String(firstLines) } : { sinceTime: last };
      const body = await cluster.stream(path, { container: trainerContainer, follow: 'true', timestamps: 'true', ...from }, signal);
      hear.connected(true);
      pauseMs = leastPauseMs;
      for await (const line of readLines(body)) {
        const space = line.indexOf(' ');
        const at = line.slice(0, space);
        // `sinceTime` has whole seconds: what is known already comes again. RFC 3339 times of one zone and length sort as text.
        if (at <= last) continue;
        last = at;
        hear.line(line.slice(space + 1));
      }
    } catch {
      // The pod may not have begun, or its node is away: it is tried again.
    }
    hear.connected(false);
    await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    pauseMs = Math.min(longestPauseMs, pauseMs * 2);
  }
}
