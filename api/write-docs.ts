import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectDir } from '../platform/paths.ts';
import { documents } from './documents.ts';

/** Writes what is made from the code: docs/openapi.json and docs/08-errors.md. */
for (const [path, text] of Object.entries(await documents())) await writeFile(join(projectDir, path), text);
