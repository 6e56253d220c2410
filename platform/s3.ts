import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { S3Client } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Config } from './config.ts';

/** Ten attempts ride through a killed gateway (ENGINES.md); sockets are kept and bounded. */
const maxAttempts = 10;
const maxSockets = 64;

/** Settings that every gateway in ENGINES.md accepts: own SHA-256 instead of flexible checksums, path style. */
export function createS3Client(config: Pick<Config, 's3'>): S3Client {
  const agent = { keepAlive: true, maxSockets };
  return new S3Client({
    endpoint: config.s3.endpoint,
    region: config.s3.region,
    credentials: { accessKeyId: config.s3.accessKey, secretAccessKey: config.s3.secretKey },
    forcePathStyle: true,
    maxAttempts,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: new NodeHttpHandler({ httpAgent: new HttpAgent(agent), httpsAgent: new HttpsAgent(agent), connectionTimeout: 5_000 }),
  });
}
