import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { Worker } from '@temporalio/worker';
import { describe, expect, it } from 'vitest';
import { projectDir } from '../platform/paths.ts';
import { quietTemporal, workflowBundle } from './support/workflow-fixture.ts';

quietTemporal();
const folder = join(projectDir, 'test', 'histories');
const histories = globSync('*.json', { cwd: folder });

describe('recorded histories', { timeout: 60_000 }, () => {
  it('are there', () => expect(histories.length).toBeGreaterThanOrEqual(8));
  for (const name of histories)
    it(`${name} replays with today's workflows`, async () => {
      const history = historyFromJSON(JSON.parse(readFileSync(join(folder, name), 'utf8')));
      const options = { workflowBundle: await workflowBundle(), replayName: name };
      await expect(Worker.runReplayHistory(options, history)).resolves.toBeUndefined();
    });
});
