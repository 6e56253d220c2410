import { runParts } from '../support/run-parts.ts';

// Every part of the benchmark of sensing, one after the other: `npm run bench:sensing`.
await runParts(import.meta.dirname, ['drain', 'latency', 'digests', 'large-transaction', 'restart', 'idle']);
