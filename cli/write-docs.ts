import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectDir } from '../platform/paths.ts';
import { settingsPage } from './config.ts';

/** Writes docs/03-configuration.md. */
await writeFile(join(projectDir, 'docs/03-configuration.md'), settingsPage());
