import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../infra/local/ports.ts';
import { type Stack, startStack } from '../../infra/local/stack.ts';
import type { EngineName, ServiceName } from '../../core/process-names.ts';
import { settingsSchema } from '../../platform/config.ts';

export type TestStack = Stack & { readonly env: Readonly<Record<string, string>>; readonly home: string; remove(): Promise<void> };

/** Real engines (and our own services where they are named) in a home and on ports of their own. `remove` stops them and deletes their data. */
export async function startTestStack(options: {
  readonly engines: readonly EngineName[];
  readonly services?: readonly ServiceName[];
  readonly env?: Readonly<Record<string, string>>;
}): Promise<TestStack> {
  const home = await mkdtemp(join(tmpdir(), 'mw-stack-'));
  const variables = Object.keys(settingsSchema.shape).filter((name) => name.endsWith('_PORT'));
  const ports = await freePorts(variables.length);
  const kept = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !entry[0].startsWith('VITEST'),
  );
  const env = {
    ...Object.fromEntries(kept),
    ...Object.fromEntries(variables.map((name, i) => [name, String(ports[i])])),
    MW_HOME: home,
    MW_LOG_LEVEL: 'info',
    NODE_ENV: 'production',
    ...options.env,
  };
  try {
    const stack = await startStack({ env, engines: options.engines, services: options.services ?? [] });
    return {
      ...stack,
      env,
      home,
      remove: async () => {
        await stack.stop();
        await rm(home, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await rm(home, { recursive: true, force: true });
    throw error;
  }
}
