import { z } from 'zod';

/** Settings of where models lie, and how they are cut, signed, kept and looked after in the store. Part of `settingsSchema`. */
export const storeSettings = {
  MW_PLACEMENTS: z
    .string()
    .optional()
    .describe(
      'JSON file of named buckets and storage classes that tenants can be given (docs/store/placement.md); the same for every process',
    ),
  MW_S3_SECOND_ENDPOINT: z.url().optional().describe('S3 address of a second site that holds everything too (docs/store/placement.md)'),
  MW_S3_SECOND_REGION: z.string().default('us-east-1').describe('its region'),
  MW_S3_SECOND_BUCKET: z.string().default('modelwright').describe('its bucket'),
  MW_S3_SECOND_ACCESS_KEY: z.string().optional().describe('its access key; needed with MW_S3_SECOND_ENDPOINT'),
  MW_S3_SECOND_SECRET_KEY: z.string().optional().describe('its secret key; needed with MW_S3_SECOND_ENDPOINT'),
  MW_S3_SECOND_JOBS_ENDPOINT: z.url().optional().describe('its address as Jobs on the cluster see it (default: as we see it)'),
  MW_SHARD_BYTES: z.coerce
    .number()
    .int()
    .min(1_048_576)
    .max(268_435_456)
    .default(33_554_432)
    .describe('about how large the shards of models are; a publish holds two and a half times as much in memory (docs/store/format.md)'),
  MW_SIGNING_KEY: z
    .string()
    .optional()
    .describe(
      'Ed25519 key that signs models: PEM, or the base64 of its seed (default: from secrets.json; only the sharding worker needs it)',
    ),
  MW_TRUSTED_KEYS: z
    .string()
    .default('')
    .describe('public keys of former or other signers whose models are served too: base64, separated by commas'),
  MW_UNSIGNED_MODELS: z.enum(['accept', 'refuse']).default('accept').describe('whether versions from before models were signed are served'),
  MW_KEEP_VERSIONS: z.coerce
    .number()
    .int()
    .min(1)
    .max(10_000)
    .default(10)
    .describe("versions of each customization that are kept beside those with an alias or an operator's hold"),
  MW_GC_GRACE_HOURS: z.coerce
    .number()
    .min(0)
    .max(8_760)
    .default(24)
    .describe('hours that objects which nothing refers to, and versions beyond those that are kept, stay in the store'),
  MW_OBJECT_LOCK_DAYS: z.coerce
    .number()
    .int()
    .min(0)
    .max(36_500)
    .default(0)
    .describe(
      'days for which the store locks every version that is promoted, and longer while it serves (0: not at all; docs/store/object-lock.md)',
    ),
  MW_BACKUP_DAYS: z.coerce
    .number()
    .int()
    .min(0)
    .max(36_500)
    .optional()
    .describe(
      'days that your backups of MySQL, of the store and of volumes are kept: named in certificates of forgetting (default: not known)',
    ),
  MW_SCRUB_EVERY_HOURS: z.coerce
    .number()
    .int()
    .min(0)
    .max(8_760)
    .default(24)
    .describe('hours between two rounds that read stored objects and compare their digests (0: only on demand)'),
  MW_SCRUB_ROUNDS: z.coerce.number().int().min(1).max(365).default(7).describe('rounds in which every stored object is read once'),
};
