import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { serviceNames } from '../core/process-names.ts';
import { lean } from '../infra/local/service-process.ts';
import { parseSettings } from '../platform/config.ts';
import { projectDir } from '../platform/paths.ts';

type Service = {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: object;
};
const compose = parse(readFileSync(join(projectDir, 'docker-compose.yml'), 'utf8'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};
const { services } = compose;

describe('docker-compose.yml', () => {
  it('runs every role of the native start, each by its own entry file', () => {
    for (const name of serviceNames) {
      const entry = services[name]?.command?.at(-1) ?? '';
      expect(entry).toBe(name === 'api' ? 'api/main.ts' : `workers/${name}.ts`);
      expect(existsSync(join(projectDir, entry))).toBe(true);
    }
  });

  it('starts the sharder as the native start does, so that it stays small', () => {
    const { command, environment } = services['sharding'] ?? {};
    expect(command).toEqual(['node', ...lean.flags, 'workers/sharding.ts']);
    expect(environment).toMatchObject(lean.env);
  });

  it('takes the settings of MySQL, Connect, topics and connector from the files of the native start', () => {
    const mounts = Object.values(services).flatMap(({ volumes = [] }) => volumes.filter((volume) => volume.startsWith('./')));
    expect(new Set(mounts.map((mount) => mount.split(':')[0]))).toEqual(
      new Set(['./infra/debezium/connect.properties', './infra/mysql/my.cnf']),
    );
    for (const mount of mounts) expect(existsSync(join(projectDir, mount.split(':')[0] ?? ''))).toBe(true);
    for (const name of ['topics', 'prepare']) expect(services[name]?.command?.[1]).toBe('infra/compose/prepare.ts');
    const prepare = readFileSync(join(projectDir, 'infra/compose/prepare.ts'), 'utf8');
    for (const step of ['createTopics', 'userStatements', 'migrate', 'ensureBucket', 'prepareNamespace', 'registerConnector'])
      expect(prepare).toContain(step);
  });

  it('names only settings that exist', () => {
    for (const { environment = {} } of Object.values(services)) {
      const own = Object.fromEntries(Object.entries(environment).filter(([name]) => name.startsWith('MW_')));
      const filled = Object.fromEntries(
        Object.entries(own).map(([name, value]) => [name, value.replace(/^\$\{[A-Z_0-9]+:-(.*)\}$/, '$1')]),
      );
      expect(() => parseSettings(filled)).not.toThrow();
    }
  });

  it('starts in an order that health checks guard, and publishes to loopback only', () => {
    for (const [name, { depends_on: before = {}, ports = [] }] of Object.entries(services)) {
      for (const [other, { condition }] of Object.entries(before)) {
        const checked = condition !== 'service_healthy' || services[other]?.healthcheck !== undefined;
        expect(`${name} waits for ${other}: ${services[other] && checked}`).toContain(': true');
      }
      for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
    }
    for (const name of serviceNames) expect(services[name]?.depends_on?.['prepare']?.condition).toBe('service_completed_successfully');
  });
});
