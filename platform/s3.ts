import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { S3Client } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Config } from './config.ts';

/** Ten attempts ride through a killed gateway (ENGINES.md); sockets are kept and bounded. */
const maxAttempts = 10;
const maxSockets = 64;
/**
 * A connection on which nothing comes and nothing goes for so long is given up and the request is sent again. A gateway whose OSD died is silent
 * for half a minute and then goes on; one that is never heard of again must not hold a worker for ever.
 */
const silenceMs = 60_000;

/** Settings that every gateway in ENGINES.md accepts: own SHA-256 instead of flexible checksums, path style. */
export function createS3Client(
  config: Pick<Config, 's3'>,
  patience: { readonly maxAttempts?: number; readonly silenceMs?: number } = {},
): S3Client {
  const agent = { keepAlive: true, maxSockets };
  const client = new S3Client({
    endpoint: config.s3.endpoint,
    region: config.s3.region,
    credentials: { accessKeyId: config.s3.accessKey, secretAccessKey: config.s3.secretKey },
    forcePathStyle: true,
    maxAttempts: patience.maxAttempts ?? maxAttempts,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: new NodeHttpHandler({
      httpAgent: new HttpAgent(agent),
      httpsAgent: new HttpsAgent(agent),
      connectionTimeout: 5_000,
      socketTimeout: patience.silenceMs ?? silenceMs,
    }),
  });
  const { storageClass } = config.s3;
  if (storageClass !== undefined) storeAs(client, storageClass);
  return client;
}

/** Requests that make an object. */
const making = new Set(['PutObjectCommand', 'CreateMultipartUploadCommand', 'CopyObjectCommand']);

/** Whatever this client stores, addresses that it signs included, is of that class. */
function storeAs(client: S3Client, storageClass: string): void {
  client.middlewareStack.add(
    (next, { commandName = '' }) =>
      async (args) =>
        await next(making.has(commandName) ? { ...args, input: { ...args.input, StorageClass: storageClass } as typeof args.input } : args),
    { step: 'initialize', name: 'storageClass' },
  );
}
