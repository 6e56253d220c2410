import { describe, expect, it } from 'vitest';
import type { ConnectRest, ConnectorStatus } from '../../../infra/debezium/connect-rest.ts';
import { connectorSteps } from './connector-steps.ts';

/** A Kafka Connect with one connector: what it was told, and a status that the test sets. */
class HandConnect implements ConnectRest {
  readonly told: string[] = [];
  current: ConnectorStatus | null = null;
  settings: Record<string, string> | null = null;
  past = true;
  names = async () => (this.current ? ['c'] : []);
  status = async () => this.current;
  config = async () => this.settings && { name: 'c', ...this.settings };
  put = async (_name: string, config: Record<string, string>) => {
    this.told.push('put');
    this.settings = config;
    this.current ??= is('RUNNING', 'RUNNING');
  };
  stop = async () => {
    this.told.push('stop');
    this.current = is('STOPPED');
  };
  resume = async () => {
    this.told.push('resume');
    this.current = is('RUNNING', 'RUNNING');
  };
  restartFailed = async () => void this.told.push('restart');
  streams = async () => this.past;
  forgetOffsets = async () => void this.told.push('forget offsets');
  remove = async () => {
    this.told.push('remove');
    this.current = null;
  };
}

const is = (connector: string, task?: string, trace?: string): ConnectorStatus => ({
  connector: { state: connector },
  tasks: task === undefined ? [] : [{ state: task, ...(trace === undefined ? {} : { trace }) }],
});

function setUp(settings: Record<string, string> | null, status: ConnectorStatus | null) {
  const connect = new HandConnect();
  connect.settings = settings;
  connect.current = status;
  const { told } = connect;
  const steps = connectorSteps(connect);
  const step = (config: Record<string, string>) =>
    steps.step({
      name: 'c',
      config,
      forget: async () => void told.push('forget capture'),
    });
  return { connect, told, steps, step };
}

describe('a connector of mapped tables', () => {
  it('is made, and captures when it runs past its snapshot', async () => {
    const { connect, told, step } = setUp(null, null);
    connect.past = false;
    expect(await step({ tables: 'a' })).toMatchObject({ state: 'starting' });
    expect(told).toEqual(['put']);
    expect(await step({ tables: 'a' })).toMatchObject({ state: 'starting', detail: expect.stringContaining('structure') });
    connect.past = true;
    expect(await step({ tables: 'a' })).toEqual({ state: 'capturing', detail: null });
    expect(told).toEqual(['put']);
  });

  it('takes another table up only after its task has ended', async () => {
    const { connect, told, step } = setUp({ tables: 'a' }, is('RUNNING', 'RUNNING'));
    expect(await step({ tables: 'a,b' })).toMatchObject({ state: 'starting' });
    // The task is still on its way out: nothing is changed under it.
    connect.current = is('STOPPED', 'RUNNING');
    await step({ tables: 'a,b' });
    expect(told).toEqual(['stop', 'stop']);
    await step({ tables: 'a,b' });
    expect(told).toEqual(['stop', 'stop', 'put', 'resume']);
    expect(await step({ tables: 'a,b' })).toMatchObject({ state: 'capturing' });
  });

  it('goes on where a consumer that was killed in the middle of a change left it', async () => {
    const { told, step } = setUp({ tables: 'a,b' }, is('STOPPED'));
    expect(await step({ tables: 'a,b' })).toMatchObject({ state: 'starting' });
    expect(told).toEqual(['resume']);
  });

  it('whose task failed is restarted, and shows the reason', async () => {
    const { told, step } = setUp({ tables: 'a' }, is('RUNNING', 'FAILED', 'Access denied\n at line 1'));
    expect(await step({ tables: 'a' })).toEqual({ state: 'failed', detail: 'Access denied' });
    expect(told).toEqual(['restart']);
  });

  it('whose place in the log is gone begins anew, after its tables were marked for a whole comparison', async () => {
    const { told, step } = setUp({ tables: 'a' }, is('RUNNING', 'FAILED', 'but this is no longer available on the server. Reconfigure'));
    expect(await step({ tables: 'a' })).toMatchObject({ state: 'failed', detail: expect.stringContaining('begins anew') });
    expect(told).toEqual(['forget capture']);
    await step({ tables: 'a' });
    await step({ tables: 'a' });
    expect(told).toEqual(['forget capture', 'stop', 'forget capture', 'forget offsets', 'put', 'resume']);
    expect(await step({ tables: 'a' })).toMatchObject({ state: 'capturing' });
  });

  it('that a person paused stays paused, and says so', async () => {
    const { told, step } = setUp({ tables: 'a' }, is('PAUSED', 'PAUSED'));
    expect(await step({ tables: 'a' })).toMatchObject({ state: 'failed', detail: expect.stringContaining('a person paused') });
    expect(told).toEqual([]);
  });

  it('that nobody needs any more goes with its place in the log', async () => {
    const { told, steps } = setUp({ tables: 'a' }, is('RUNNING', 'RUNNING'));
    for (let i = 0; i < 3; i++) await steps.remove('c');
    expect(told).toEqual(['stop', 'forget offsets', 'remove']);
  });
});
