import type { CoreV1Event } from '@kubernetes/client-node';
import { type ClusterClient, listAt } from './cluster-client.ts';
import { shared } from './shared.ts';

const shown = 5;
/** The API server looks through all events of the namespace for every list: one list serves all jobs that wait. */
const listEveryMs = 5_000;

type Event = { readonly at: number; readonly text: string };

/** Tells what the cluster said of a job or a pod last, the newest last: reason and message, each once. Never a failure of its own. */
export function createEvents(cluster: ClusterClient): (names: readonly string[]) => Promise<readonly string[]> {
  const byName = shared(listEveryMs, async (): Promise<ReadonlyMap<string, readonly Event[]>> => {
    const items = await listAt<CoreV1Event>(cluster, `/api/v1/namespaces/${cluster.namespace}/events`).catch(() => []);
    const found = new Map<string, Event[]>();
    for (const { involvedObject, reason = '', message = '', lastTimestamp, eventTime, firstTimestamp } of items) {
      const name = involvedObject.name ?? '';
      const at = lastTimestamp ?? eventTime ?? firstTimestamp;
      const event = { at: at ? new Date(at).getTime() : 0, text: `${reason}: ${message.trim()}` };
      const known = found.get(name);
      if (known) known.push(event);
      else found.set(name, [event]);
    }
    return found;
  });
  return async (names) => {
    const all = await byName();
    const texts = names
      .flatMap((name) => all.get(name) ?? [])
      .sort((a, b) => a.at - b.at)
      .map(({ text }) => text);
    return [...new Set(texts.reverse())].slice(0, shown).reverse();
  };
}
