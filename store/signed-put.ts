import { PutObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';

const classHeader = 'x-amz-storage-class';
type Built = { readonly headers: Readonly<Record<string, string>>; readonly query: Record<string, string> };

/**
 * An address to which an object can be put. Where the client stores by a class, that is a header which the sender must send: Ceph's gateway ignores it
 * as a parameter. So the address names it among its signed headers, and has its value as a parameter, for the sender to read.
 */
export async function signedPut(client: S3Client, bucket: string, key: string, expiresIn: number): Promise<string> {
  const command = new PutObjectCommand({ Bucket: bucket, Key: key });
  command.middlewareStack.add(
    (next) => async (args) => {
      const { headers, query } = args.request as Built;
      const storageClass = headers[classHeader];
      if (storageClass !== undefined) query[classHeader] = storageClass;
      return await next(args);
    },
    { step: 'build', name: 'readableClass' },
  );
  return await getSignedUrl(client, command, { expiresIn, unhoistableHeaders: new Set([classHeader]) });
}
