import { runParts } from '../support/run-parts.ts';

// Every part of the benchmark of serving, one after the other: `npm run bench:serving`.
await runParts(import.meta.dirname, ['compare', 'precision', 'thousand-heads']);
