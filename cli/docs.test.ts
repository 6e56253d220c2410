import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { globSync } from 'node:fs';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { projectDir } from '../platform/paths.ts';
import { commands } from './commands.ts';
import { settingsPage } from './config.ts';

const read = (path: string): string => readFileSync(join(projectDir, path), 'utf8');
const pages = globSync(['*.md', 'docs/**/*.md'], { cwd: projectDir });

describe('the documentation', () => {
  it('lists the settings as they are; `node cli/write-docs.ts` writes them anew', () => {
    expect(read('docs/03-configuration.md')).toBe(settingsPage());
  });

  it('names only commands and options that `mw` has', () => {
    const program = new Command('mw');
    for (const register of commands) register(program);
    const known = new Map(program.commands.map((command) => [command.name(), command] as const));
    const wrong = pages.flatMap((page) =>
      [...read(page).matchAll(/\.\/mw ([a-z][a-z-]*)([^`\n]*)/g)].flatMap(([call, name = '', rest = '']) => {
        const group = known.get(name);
        const command = group?.commands.find((one) => rest.trim().split(' ')[0] === one.name()) ?? group;
        if (!command) return [`${page}: ${call}`];
        const options = [...rest.matchAll(/--[a-z][a-z0-9-]*/g)].map(([option]) => option);
        return options
          .filter((option) => option !== '--help' && !command.options.some(({ long }) => long === option))
          .map((option) => `${page}: ${name} ${option}`);
      }),
    );
    expect(wrong).toEqual([]);
  });

  it('links only to what exists', () => {
    const dead = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\((?!https?:)([^)#]+)\)/g)]
        .map(([, target = '']) => normalize(join(dirname(page), target)))
        .filter((target) => !existsSync(join(projectDir, target)))
        .map((target) => `${page}: ${target}`),
    );
    expect(dead).toEqual([]);
  });

  it('fits the README on a screen', () => {
    expect(read('README.md').split('\n').length).toBeLessThan(60);
  });
});
