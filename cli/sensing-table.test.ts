import { describe, expect, it } from 'vitest';
import type { SensingCondition, SensingReport } from '../platform/sensing-report.ts';
import { sensingLines, sensingProblems } from './sensing-table.ts';

const condition = (over: Partial<SensingCondition> = {}): SensingCondition => ({
  code: 'connector_stopped',
  subject: 'modelwright',
  detail: 'connector modelwright is STOPPED',
  remedy: 'resume it',
  state: 'open',
  action: null,
  detectedAt: '2026-03-02T12:00:00.000Z',
  endedAt: null,
  ...over,
});
const report = (over: Partial<SensingReport> = {}): SensingReport => ({
  conditions: [],
  connectors: [
    { name: 'modelwright', state: 'RUNNING', detail: null, position: { file: 'binlog.000002', pos: 157, gtids: '' }, behind: 0 },
  ],
  watermarks: { executed: '', epoch: 0 },
  ...over,
});

describe('the sensing part of `mw status`', () => {
  it('says where the connectors stand and that nothing is wrong', () => {
    expect(sensingLines(report())).toEqual(['connector modelwright: running at binlog.000002:157', 'sensing: nothing is wrong']);
  });
  it('prints the remedy of what is open, and what was done about what is over', () => {
    const healed = condition({
      code: 'binlog_purged',
      state: 'healed',
      action: '2 tenants told to compare',
      endedAt: '2026-03-02T12:00:09.000Z',
    });
    const text = sensingLines(report({ conditions: [condition(), healed] })).join('\n');
    expect(text).toContain('remedy: resume it');
    expect(text).toContain('healed: binlog_purged (modelwright) at 2026-03-02T12:00:09.000Z: 2 tenants told to compare');
    expect(text).not.toContain('nothing is wrong');
  });
  it('says what could not be asked', () => {
    expect(sensingLines(null)).toEqual(['sensing: unknown, MySQL does not answer']);
    expect(sensingLines(report({ connectors: null }))[0]).toBe('connectors: unknown, Kafka Connect does not answer');
  });
});

describe('the sensing part of `mw doctor`', () => {
  it('are open conditions, each with its remedy', () => {
    expect(sensingProblems(report({ conditions: [condition({ state: 'healing' }), condition({ state: 'healed' })] }))).toEqual([
      { problem: 'connector_stopped (modelwright): connector modelwright is STOPPED', remedy: 'resume it' },
    ]);
    expect(sensingProblems(null)).toEqual([]);
  });
});
