import type { ConnectorConfig } from '../../platform/kafka-connect.ts';
import { epochHeader } from './change-feed.ts';

/** Our transform's name within a connector's configuration. */
const transform = 'mwEpoch';

/** The configuration with which every event says the epoch of the log that it is from; as it was for the first epoch. */
export function withEpoch(config: ConnectorConfig, epoch: number): ConnectorConfig {
  const others = (config['transforms'] ?? '').split(',').filter((name) => name !== '' && name !== transform);
  const kept = Object.entries(config).filter(([key]) => key !== 'transforms' && !key.startsWith(`transforms.${transform}.`));
  const names = epoch > 0 ? [...others, transform] : others;
  return {
    ...Object.fromEntries(kept),
    ...(names.length > 0 ? { transforms: names.join(',') } : {}),
    ...(epoch > 0
      ? {
          [`transforms.${transform}.type`]: 'org.apache.kafka.connect.transforms.InsertHeader',
          [`transforms.${transform}.header`]: epochHeader,
          [`transforms.${transform}.value.literal`]: String(epoch),
        }
      : {}),
  };
}
