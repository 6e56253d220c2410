import { type ClusterClient, ask } from './cluster-client.ts';

const shown = 5;

/** What the cluster said of a job or a pod last, the newest last: reason and message, each once. Never a failure of its own. */
export async function eventsOf(cluster: ClusterClient, names: readonly string[]): Promise<readonly string[]> {
  const found: { readonly at: number; readonly text: string }[] = [];
  for (const name of names) {
    const { items } = await ask('list events', () =>
      cluster.core.listNamespacedEvent({ namespace: cluster.namespace, fieldSelector: `involvedObject.name=${name}` }),
    ).catch(() => ({ items: [] }));
    for (const { reason = '', message = '', lastTimestamp, eventTime, firstTimestamp } of items) {
      const at = lastTimestamp ?? eventTime ?? firstTimestamp;
      found.push({ at: at ? new Date(at).getTime() : 0, text: `${reason}: ${message.trim()}` });
    }
  }
  const texts = found.sort((a, b) => a.at - b.at).map(({ text }) => text);
  return [...new Set(texts.reverse())].slice(0, shown).reverse();
}
