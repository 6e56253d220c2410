import { commonGtids, countGtids, type GtidSet, parseGtidSet, subtractGtids } from '../../../core/gtid-set.ts';
import type { Finding } from './conditions.ts';
import type { Facts, LogEnd, Memory } from './facts.ts';

/** Server variables without which the log does not tell everything. */
export const wantedSettings: Readonly<Record<string, string>> = {
  log_bin: '1',
  binlog_format: 'ROW',
  binlog_row_image: 'FULL',
  binlog_row_metadata: 'FULL',
  gtid_mode: 'ON',
  enforce_gtid_consistency: 'ON',
};

/** A log only grows; `binlog.000042` comes after `binlog.000041`. */
function isEarlier(now: LogEnd, then: LogEnd): boolean {
  const number = ({ file }: LogEnd): number => Number(file.split('.').at(-1));
  return number(now) === number(then) ? now.pos < then.pos : number(now) < number(then);
}

/** What is wrong with the source itself: its settings, its identity, and whether its log is still the one that was read. */
export function sourceFindings(facts: Facts, memory: Memory): Finding[] {
  const { source, connect } = facts;
  if (!source.ok) return [{ code: 'mysql_unreachable', subject: 'mysql', detail: `MySQL does not answer: ${source.error}` }];
  const now = source.value;
  const findings: Finding[] = [];
  const wrong = Object.entries(wantedSettings).filter(([name, value]) => now.settings[name] !== undefined && now.settings[name] !== value);
  if (wrong.length > 0) {
    const statements = wrong.map(([name, value]) => `SET PERSIST ${name} = ${value === '1' ? 'ON' : value}`);
    findings.push({
      code: 'binlog_settings_wrong',
      subject: 'mysql',
      detail: `${wrong.map(([name]) => `${name} is ${now.settings[name]}`).join(', ')}: ${statements.join('; ')}`,
    });
  }
  const before = memory.source;
  if (before && (before.serverUuid !== now.serverUuid || before.serverId !== now.serverId))
    findings.push({
      code: 'server_changed',
      subject: 'mysql',
      detail: `the server is ${now.serverUuid} (server_id ${now.serverId}), it was ${before.serverUuid} (server_id ${before.serverId})`,
    });
  const executed = parseGtidSet(now.executed);
  const read = [before?.executed ?? '', ...(connect.ok ? connect.value.map(({ position }) => position?.gtids ?? '') : [])];
  const lost = Math.max(0, ...read.map((set) => countGtids(subtractGtids(parseGtidSet(set), executed))));
  if (lost > 0)
    findings.push({
      code: 'binlog_reset',
      subject: 'mysql',
      detail: `${lost} transactions that were read are no longer in the server's GTID set: its log was reset, or the server does not continue the old one's`,
    });
  else if (before?.log && now.log && before.serverUuid === now.serverUuid && isEarlier(now.log, before.log))
    findings.push({
      code: 'binlog_reset',
      subject: 'mysql',
      detail: `the log ends at ${now.log.file}:${now.log.pos}, it was at ${before.log.file}:${before.log.pos} already: it was reset`,
    });
  return findings;
}

/** Transactions that a connector at `position` still must read and the server no longer has. */
export const purgedBefore = (executed: GtidSet, purged: GtidSet, position: GtidSet): number =>
  countGtids(commonGtids(subtractGtids(executed, position), purged));
