import { readFileSync } from 'node:fs';
import { type Secrets, secretsSchema } from '../../platform/config.ts';
import type { TestStack } from './engines.ts';

/** Passwords of the stack's own engines, which only its owner has. */
export const loadSecrets = ({ config }: Pick<TestStack, 'config'>): Secrets =>
  secretsSchema.parse(JSON.parse(readFileSync(config.paths.secretsFile, 'utf8')));
