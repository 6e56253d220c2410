import { nowMs, sleep } from './clock.ts';
import { type ConnectClient, ConnectFailure, type Connector } from './kafka-connect.ts';

const pollMs = 300;

/**
 * Looks at a connector until `look` finds nothing missing: it answers null then, and otherwise what is still missing, in words that follow
 * "connector X". What it does to the connector may fail in passing, as may the looking: both are repeated until the deadline.
 */
export async function awaitConnector(
  connect: ConnectClient,
  name: string,
  options: { readonly deadlineMs: number; readonly signal: AbortSignal },
  look: (connector: Connector | undefined) => string | null | Promise<string | null>,
): Promise<void> {
  const { deadlineMs, signal } = options;
  const endMs = nowMs() + deadlineMs;
  for (;;) {
    let missing: string | null;
    let cause: unknown;
    try {
      missing = await look((await connect.connectors()).find((one) => one.name === name));
    } catch (error) {
      if (!(error instanceof ConnectFailure) || !error.passing) throw error;
      missing = `cannot be seen: ${error.message}`;
      cause = error;
    }
    if (missing === null) return;
    if (nowMs() > endMs) throw new Error(`after ${deadlineMs / 1_000} s connector ${name} ${missing}`, { cause });
    await sleep(pollMs, undefined, { signal });
  }
}
