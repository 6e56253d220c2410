import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectDir } from '../../platform/paths.ts';
import { trainerEnvironment, trainerImageConfig, trainerLayout } from './trainer-layout.ts';

/** Instructions of the file, each with its continued lines. */
const instructions = readFileSync(join(import.meta.dirname, 'trainer.Dockerfile'), 'utf8')
  .replaceAll(/\\\n\s*/g, '')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => line.split(/\s+/));
const last = instructions.slice(instructions.findLastIndex(([name]) => name === 'FROM'));
const ofLast = (name: string): string[][] => last.filter(([word]) => word === name).map((words) => words.slice(1));

describe('trainer.Dockerfile', () => {
  it('makes an image that runs as the one that is built without a registry', () => {
    const environment = Object.fromEntries(ofLast('ENV').flatMap((pairs) => pairs.map((pair) => pair.split(/=(.*)/s).slice(0, 2))));
    expect(environment).toEqual(trainerEnvironment);
    expect(ofLast('USER')).toEqual([[trainerImageConfig.User]]);
    expect(ofLast('WORKDIR')).toEqual([[trainerImageConfig.WorkingDir]]);
    expect(JSON.parse(ofLast('ENTRYPOINT')[0]?.join(' ') ?? '')).toEqual(trainerImageConfig.Entrypoint);
  });

  it('puts everything where jobs look for it', () => {
    const places = [trainerLayout.packages, trainerLayout.models, `${trainerLayout.trainer}/modelwright_trainer`, trainerLayout.catalog];
    expect(new Set(ofLast('COPY').map((words) => words.at(-1)))).toEqual(new Set(places));
    expect(ofLast('RUN')[0]?.join(' ')).toContain(trainerLayout.python);
  });

  it('copies only what exists, from the project or from a stage before', () => {
    const stages = new Set<string>();
    const missing: string[] = [];
    for (const [name, ...words] of instructions) {
      if (name === 'FROM' && words[1] === 'AS') stages.add(words[2] ?? '');
      if (name !== 'COPY') continue;
      const from = words.find((word) => word.startsWith('--from='))?.slice('--from='.length);
      const sources = words.filter((word) => !word.startsWith('--')).slice(0, -1);
      if (from === undefined) missing.push(...sources.filter((source) => !existsSync(join(projectDir, source))));
      else if (!stages.has(from)) missing.push(from);
    }
    expect(missing).toEqual([]);
    expect(stages).toEqual(new Set(['provision', 'packages-cpu', 'packages-cuda', 'packages']));
  });

  it('has the Python that its packages are made with', () => {
    const text = instructions.map((words) => words.join(' ')).join('\n');
    const [, inEnvironment] = /python(3\.\d+)\/site-packages/.exec(text) ?? [];
    expect([...text.matchAll(/python:(3\.\d+)-slim/g)].map(([, version]) => version)).toEqual([
      inEnvironment,
      inEnvironment,
      inEnvironment,
    ]);
  });
});
