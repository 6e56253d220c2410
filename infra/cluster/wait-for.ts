import { nowMs, sleep } from '../../platform/clock.ts';

const pollMs = 100;

/** It will not come to be: waiting is in vain. */
export class Hopeless extends Error {
  override name = 'Hopeless';
}

/** Waits until something is so; otherwise `isSo` says what is missing. `what` goes before "after 60 s" in the error. */
export async function waitFor(what: string, deadlineMs: number, signal: AbortSignal, isSo: () => Promise<true | string>): Promise<void> {
  const endMs = nowMs() + deadlineMs;
  for (;;) {
    signal.throwIfAborted();
    const state = await isSo().catch((error: unknown) => {
      if (error instanceof Hopeless) throw new Error(`${what}: ${error.message}`, { cause: error });
      return error instanceof Error ? error.message : String(error);
    });
    if (state === true) return;
    if (nowMs() > endMs) throw new Error(`${what} after ${deadlineMs / 1000} s: ${state}`);
    await sleep(pollMs, undefined, { signal });
  }
}
