import { sleep } from '../../../platform/clock.ts';
import type { Logger } from '../../../platform/logger.ts';
import type { FeedRecord } from '../change-feed.ts';
import { type Decoded, decodeChange } from '../decode.ts';
import { decodeMapped } from './mapped-effects.ts';
import type { KnownMappings } from './mappings.ts';

export type Decode = (record: Pick<FeedRecord, 'value'>) => Decoded;

const retryMs = 1_000;

/** How events of a topic are read. Those of mapped tables are judged by mappings that are at least as new as the events. */
export const decodersOf = (deps: {
  readonly mappings: Pick<KnownMappings, 'refresh' | 'ofTable'>;
  /** Prefix of the topics of mapped tables. */
  readonly sourcePrefix: string;
  /** A customization was made, changed or deleted: perhaps its mapping. */
  readonly onConfigured: () => void;
  readonly logger: Logger;
}) => {
  const { mappings, sourcePrefix, onConfigured, logger } = deps;
  const managed: Decode = (record) => {
    const decoded = decodeChange(record);
    if (decoded.kind === 'change' && decoded.effects.some(({ operation }) => operation === 'configured')) onConfigured();
    return decoded;
  };
  const mapped: Decode = (record) => decodeMapped(record, (database, table) => mappings.ofTable(database, table));

  return async (topic: string, alive: () => Promise<void>): Promise<Decode> => {
    if (!topic.startsWith(sourcePrefix)) return managed;
    for (;;) {
      try {
        await mappings.refresh();
        return mapped;
      } catch (error) {
        logger.warn({ err: error }, 'mappings could not be read: the partition waits');
        await sleep(retryMs);
        await alive();
      }
    }
  };
};
