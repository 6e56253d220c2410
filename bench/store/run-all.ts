import { runParts } from '../support/run-parts.ts';

// Every part of the benchmark of the store, one after the other: `npm run bench:store`.
await runParts(import.meta.dirname, ['put', 'get', 'republish', 'tenants']);
