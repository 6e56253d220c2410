import type { Pool } from '../../platform/mysql.ts';
import { endCondition, openCondition } from '../../platform/sensing-condition.ts';

/** Shown with what is wrong in the sensing: by `mw status`, `mw doctor` and `GET /v1/sensing`. */
const code = 'stored_object_damaged';
const remedy =
  'put the object back from a backup of the bucket, or, for what all tenants share, install the base model again; or train a new version ' +
  '(`./mw retrain`); then run `./mw store scrub`';
const healed = 'everything was found whole again';

/** Opens, changes or ends the one condition of a tenant, or of what all share. Key: subject. */
export async function showDamage(pool: Pool, subject: string, detail: string | null): Promise<void> {
  if (detail === null) await endCondition(pool, { code, subject, action: healed });
  else await openCondition(pool, { code, subject, detail, remedy });
}
