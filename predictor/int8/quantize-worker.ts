import { readFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { quantizeGraph } from './quantize-graph.ts';

// A thread of `quantizedFile`: reads the graph of which it is told the path, and hands back the bytes of the other.
const { buffer } = new Uint8Array(quantizeGraph(readFileSync(workerData as string)));
parentPort?.postMessage(buffer, [buffer]);
