import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { digestOfKey } from './keys.ts';
import type { ListedObject, StoreSite } from './object-store.ts';
import type { TwoSites } from './two-sites.ts';

/**
 * The object of a site as a stream that goes on at the other one where it breaks off, if its key says what its bytes must be. Bytes that are not those are
 * handed on (whoever reads compares them), but the next stream of the object comes from the other site.
 */
export function followed(sites: TwoSites, from: StoreSite, body: Readable, key: string): Readable {
  const digest = digestOfKey(key);
  if (digest === null) return body;
  const pieces = async function* (): AsyncGenerator<Buffer> {
    const hash = createHash('sha256');
    let at = 0;
    const pass = async function* (part: Readable): AsyncGenerator<Buffer> {
      for await (const chunk of part) {
        at += (chunk as Buffer).byteLength;
        hash.update(chunk as Buffer);
        yield chunk as Buffer;
      }
    };
    let broken: Error | null = null;
    try {
      yield* pass(body);
    } catch (error) {
      broken = error as Error;
    }
    if (broken !== null) {
      const reason = broken;
      sites.health.away(from);
      const rest = await sites.ask(sites.other(from), async (store) => {
        const bytes = await store.size(key);
        // Nothing there to go on with: what broke off is what there is to tell.
        if (bytes === null) throw reason;
        return bytes > at ? await store.streamPart(key, at, bytes - at) : Readable.from([]);
      });
      yield* pass(rest);
    }
    if (hash.digest('hex') !== digest && broken === null)
      await sites.distrust(from, key, `${key} does not have the SHA-256 of its name there`);
  };
  const followed = Readable.from(pieces(), { objectMode: false });
  followed.once('close', () => body.destroy());
  return followed;
}

type Turn = { readonly site: StoreSite; readonly objects: AsyncIterator<ListedObject>; next: ListedObject | null };

/** What either site has, in the order of keys. Of an object that both have, the later time counts. One that does not answer is left out, if the other does. */
export async function* listEither(sites: TwoSites, prefix: string): AsyncGenerator<ListedObject> {
  const turns: Turn[] = sites.sites.map((site) => ({ site, objects: site.store.list(prefix)[Symbol.asyncIterator](), next: null }));
  const failures: unknown[] = [];
  const step = async (turn: Turn): Promise<void> => {
    try {
      const { done, value } = await turn.objects.next();
      turn.next = done === true ? null : value;
      sites.health.here(turn.site);
    } catch (error) {
      failures.push(error);
      sites.health.away(turn.site);
      turn.next = null;
      if (failures.length === turns.length) throw error;
    }
  };
  const away = turns.filter(({ site }) => sites.health.isAway(site));
  const asked = away.length === turns.length ? turns : turns.filter((turn) => !away.includes(turn));
  if (asked.length < turns.length) failures.push(null);
  await Promise.all(asked.map(step));
  for (;;) {
    const [first, second] = asked.filter(({ next }) => next !== null).sort((a, b) => ((a.next?.key ?? '') < (b.next?.key ?? '') ? -1 : 1));
    if (!first?.next) return;
    const object = first.next;
    const twin = second?.next?.key === object.key ? second.next : null;
    yield twin ? { ...object, modifiedMs: Math.max(object.modifiedMs, twin.modifiedMs) } : object;
    await step(first);
    if (twin && second) await step(second);
  }
}
