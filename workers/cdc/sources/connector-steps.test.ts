import { describe, expect, it } from 'vitest';
import type { ConnectClient, Connector, ConnectorConfig } from '../../../platform/kafka-connect.ts';
import { connectorSteps } from './connector-steps.ts';

/** A Kafka Connect with one connector: what it was told, and what the test says of its state. */
class HandConnect implements Omit<ConnectClient, 'connectors'> {
  readonly told: string[] = [];
  current: Connector | undefined;
  createStopped = () => Promise.reject(new Error('mapped tables need no such thing'));
  putConfig = async (_name: string, config: ConnectorConfig) => {
    this.told.push('put');
    this.current = { ...(this.current ?? is({})), config: { name: 'c', ...config } };
  };
  stop = async () => {
    this.told.push('stop');
    this.becomes({ state: 'STOPPED', tasks: [], failures: [], trace: '' });
  };
  resume = async () => {
    this.told.push('resume');
    this.becomes({ state: 'RUNNING', tasks: [{ id: 0, state: 'RUNNING' }] });
  };
  restart = async () => void this.told.push('restart all');
  restartFailed = async () => void this.told.push('restart');
  deleteOffsets = async () => void this.told.push('forget offsets');
  remove = async () => {
    this.told.push('remove');
    this.current = undefined;
  };
  becomes(change: Partial<Connector>): void {
    this.current = { ...(this.current ?? is({})), ...change };
  }
}

const position = { gtids: '', file: 'binlog.000001', pos: 4, snapshot: false, text: '' };
const is = (change: Partial<Connector>): Connector => ({
  name: 'c',
  state: 'RUNNING',
  tasks: [{ id: 0, state: 'RUNNING' }],
  failures: [],
  trace: '',
  config: { name: 'c', tables: 'a' },
  position,
  ...change,
});
const failedWith = (trace: string): Partial<Connector> => ({
  tasks: [{ id: 0, state: 'FAILED' }],
  failures: [trace.split('\n')[0] ?? ''],
  trace,
});

function setUp(found: Partial<Connector> | null) {
  const connect = new HandConnect();
  connect.current = found === null ? undefined : is(found);
  const { told } = connect;
  const steps = connectorSteps(connect);
  const step = (config: ConnectorConfig) =>
    steps.step({
      name: 'c',
      connector: connect.current,
      config,
      forget: async () => void told.push('forget capture'),
    });
  return { connect, told, steps, step };
}

describe('a connector of mapped tables', () => {
  it('is made, and captures when it runs past its snapshot', async () => {
    const { connect, told, step } = setUp(null);
    expect(await step({ tables: 'a' })).toMatchObject({ state: 'starting' });
    expect(told).toEqual(['put']);
    connect.becomes({ position: { ...position, snapshot: true } });
    expect(await step({ tables: 'a' })).toMatchObject({ state: 'starting', detail: expect.stringContaining('structure') });
    connect.becomes({ position: null });
    expect(await step({ tables: 'a' })).toMatchObject({ state: 'starting', detail: expect.stringContaining('structure') });
    expect(await step({ tables: 'a' })).toMatchObject({ state: 'starting', detail: expect.stringContaining('structure') });
    connect.becomes({ position });
    expect(await step({ tables: 'a' })).toEqual({ state: 'capturing', detail: null });
    expect(told).toEqual(['put']);
  });

  it('takes another table up only after its task has ended', async () => {
    const { connect, told, step } = setUp({});
    expect(await step({ tables: 'a,b' })).toMatchObject({ state: 'starting' });
    // The task is still on its way out: nothing is changed under it.
    connect.becomes({ state: 'STOPPED', tasks: [{ id: 0, state: 'RUNNING' }] });
    await step({ tables: 'a,b' });
    expect(told).toEqual(['stop', 'stop']);
    await step({ tables: 'a,b' });
    expect(told).toEqual(['stop', 'stop', 'put', 'resume']);
    expect(await step({ tables: 'a,b' })).toMatchObject({ state: 'capturing' });
  });

  it('goes on where a consumer that was killed in the middle of a change left it', async () => {
    const { told, step } = setUp({ config: { tables: 'a,b' }, state: 'STOPPED', tasks: [] });
    expect(await step({ tables: 'a,b' })).toMatchObject({ state: 'starting' });
    expect(told).toEqual(['resume']);
  });

  it('whose task failed is restarted, and shows the reason', async () => {
    const { told, step } = setUp(failedWith('Access denied\n at line 1'));
    expect(await step({ tables: 'a' })).toEqual({ state: 'failed', detail: 'Access denied' });
    expect(told).toEqual(['restart']);
  });

  it('whose place in the log is gone begins anew, after its tables were marked for a whole comparison', async () => {
    const { told, step } = setUp(failedWith('Stopping\nCaused by: this is no longer available on the server. Reconfigure'));
    expect(await step({ tables: 'a' })).toMatchObject({ state: 'failed', detail: expect.stringContaining('begins anew') });
    expect(told).toEqual(['forget capture']);
    await step({ tables: 'a' });
    await step({ tables: 'a' });
    expect(told).toEqual(['forget capture', 'stop', 'forget capture', 'forget offsets', 'put', 'resume']);
    expect(await step({ tables: 'a' })).toMatchObject({ state: 'capturing' });
  });

  it('that a person paused stays paused, and says so', async () => {
    const { told, step } = setUp({ state: 'PAUSED', tasks: [{ id: 0, state: 'PAUSED' }] });
    expect(await step({ tables: 'a' })).toMatchObject({ state: 'failed', detail: expect.stringContaining('a person paused') });
    expect(told).toEqual([]);
  });

  it('that nobody needs any more goes with its place in the log', async () => {
    const { connect, told, steps } = setUp({});
    for (let i = 0; i < 2; i++) if (connect.current) await steps.remove(connect.current);
    expect(told).toEqual(['stop', 'forget offsets', 'remove']);
  });
});
