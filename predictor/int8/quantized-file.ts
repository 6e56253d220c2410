import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/**
 * The graph of an ONNX file with its matrix products in 8-bit integers. Made in a thread, so that others are answered meanwhile and the memory that it
 * takes goes with the thread; made anew each time, since a copy that is kept would be one more file that can be wrong.
 */
export async function quantizedFile(path: string): Promise<Uint8Array> {
  const worker = new Worker(new URL('quantize-worker.ts', import.meta.url), { workerData: path });
  try {
    // An error of the thread is thrown here.
    const [buffer] = (await once(worker, 'message')) as [ArrayBuffer];
    return new Uint8Array(buffer);
  } finally {
    await worker.terminate();
  }
}
