import type { Config } from '../platform/config.ts';
import { type SensingReport, sensingReport } from '../platform/sensing-report.ts';
import { askMysql } from './ask-mysql.ts';

/** Null where MySQL does not answer, or is older than the table. */
export const readSensing = (config: Config): Promise<SensingReport | null> =>
  askMysql(config, (pool) => sensingReport(pool, config.connectUrl));

/** For `mw status`: connectors, what is wrong, and what was healed lately. */
export function sensingLines(report: SensingReport | null): string[] {
  if (!report) return ['sensing: unknown, MySQL does not answer'];
  const connectors =
    report.connectors === null
      ? ['connectors: unknown, Kafka Connect does not answer']
      : report.connectors.map(
          ({ name, state, detail, position }) =>
            `connector ${name}: ${state.toLowerCase()}${position ? ` at ${position.file}:${position.pos}` : ''}${detail ? ` (${detail})` : ''}`,
        );
  const open = report.conditions.filter(({ state }) => state !== 'healed');
  const healed = report.conditions.filter(({ state }) => state === 'healed').slice(0, 5);
  return [
    ...connectors,
    ...(open.length === 0 ? ['sensing: nothing is wrong'] : []),
    ...open.flatMap(({ code, subject, detail, remedy, state, action, detectedAt }) => [
      `${state}: ${code} (${subject}) since ${detectedAt}: ${detail}`,
      `  remedy: ${remedy}${action ? `\n  doing: ${action}` : ''}`,
    ]),
    ...healed.map(({ code, subject, endedAt, action }) => `healed: ${code} (${subject}) at ${endedAt}: ${action ?? ''}`),
  ];
}

/** For `mw doctor`. */
export const sensingProblems = (report: SensingReport | null): { readonly problem: string; readonly remedy: string }[] =>
  (report?.conditions ?? [])
    .filter(({ state }) => state !== 'healed')
    .map(({ code, subject, detail, remedy }) => ({ problem: `${code} (${subject}): ${detail}`, remedy }));
