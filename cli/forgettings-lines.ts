import type { Config } from '../platform/config.ts';
import { type OpenForgetting, maxOpenForgettings, openForgettings } from '../platform/open-forgettings.ts';
import { askMysql } from './ask-mysql.ts';

/** Null where MySQL does not answer, or is older than the table. */
export const readForgettings = (config: Config): Promise<OpenForgetting[] | null> =>
  askMysql(config, (pool) => openForgettings(pool, null));

/** For `mw status`: what is being forgotten and not done, and why; nothing where all is done. */
export function openForgettingLines(open: readonly OpenForgetting[] | null): string[] {
  if (open === null) return [];
  const more = open.length === maxOpenForgettings ? ['there may be more: `./mw forget CUSTOMIZATION` shows all of one'] : [];
  return [
    ...open.flatMap(({ tenantId, customizationId, number, state, waitsFor, askedAt, deadlineAt }) => [
      `forgetting ${number} of ${tenantId}/${customizationId}: ${state}, asked ${askedAt}, deadline ${deadlineAt}`,
      ...waitsFor.map((what) => `  waits: ${what}`),
    ]),
    ...more,
  ];
}
