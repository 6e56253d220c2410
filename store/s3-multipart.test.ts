import { type IncomingMessage, type Server, createServer } from 'node:http';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha256Hex } from '../platform/hash.ts';
import { createS3Client } from '../platform/s3.ts';
import { ObjectTooLarge, StoreUnavailable } from './object-store.ts';
import { createS3ObjectStore } from './s3-object-store.ts';

type Answer = readonly [status: number, body?: string];
let server: Server;
let asked: string[];
/** What the gateway says to a request. */
let answer: (request: string, bound: boolean, body: Buffer) => Answer;

const nameOf = ({ method, url }: IncomingMessage): string => {
  const { searchParams } = new URL(url ?? '', 'http://gateway');
  if (searchParams.has('uploads')) return 'begin';
  if (!searchParams.has('uploadId')) return method ?? '';
  return method === 'PUT' ? `part ${searchParams.get('partNumber')}` : method === 'POST' ? 'complete' : 'abort';
};
const errorOf = (code: string): string => `<Error><Code>${code}</Code><Message>no</Message></Error>`;
const answers: Readonly<Record<string, Answer>> = {
  HEAD: [404],
  begin: [200, '<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>'],
  complete: [200, '<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>'],
  abort: [204],
};
/** Of a gateway that can all. */
const usual = (request: string): Answer => answers[request] ?? [200];

beforeEach(async () => {
  asked = [];
  answer = usual;
  server = createServer((request, response) => {
    const respond = async (): Promise<void> => {
      const body = await buffer(request);
      const name = nameOf(request);
      asked.push(name);
      const [status, text = ''] = answer(name, request.headers['if-none-match'] === '*', body);
      response.writeHead(status, { etag: '"e"', 'content-type': 'application/xml', ...(name === 'HEAD' ? { 'content-length': 25 } : {}) });
      response.end(name === 'HEAD' ? undefined : text);
    };
    void respond();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const content = Buffer.from('what is larger than a PUT');
async function put(): Promise<boolean> {
  const { port } = server.address() as { port: number };
  const s3 = { endpoint: `http://127.0.0.1:${port}`, region: 'r', bucket: 'b', accessKey: 'a', secretKey: 's' };
  const client = createS3Client({ s3 }, { maxAttempts: 1 });
  const store = createS3ObjectStore(client, 'b', { putBytes: 10, partBytes: 10 });
  const open = () => Promise.resolve(Readable.from([content.subarray(0, 4), content.subarray(4)]));
  try {
    return (await store.putContentStream('k', { bytes: content.byteLength, sha256: sha256Hex(content), open })).created;
  } finally {
    client.destroy();
  }
}
const times = (request: string): number => asked.filter((one) => one === request).length;

describe('an upload in parts', () => {
  it('sends each byte once, and is bound to the free key', async () => {
    const sent: Buffer[] = [];
    answer = (request, bound, body) => {
      if (request.startsWith('part')) sent.push(body);
      return request === 'complete' && !bound ? [500] : usual(request);
    };
    expect(await put()).toBe(true);
    expect(asked.filter((request) => request !== 'HEAD')).toEqual(['begin', 'part 1', 'part 2', 'part 3', 'complete', 'abort']);
    expect(Buffer.concat(sent).equals(content)).toBe(true);
  });

  it.each([400, 405, 501])('is refused in a sentence where a gateway does not know it, and not tried again (status %i)', async (status) => {
    answer = (request) => (request === 'begin' ? [status, errorOf('NotImplemented')] : usual(request));
    const error: unknown = await put().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ObjectTooLarge);
    expect(String(error)).toMatch(
      /k has 25 bytes, more than the store takes in one request, and it takes no uploads in parts \(status \d+\): use/,
    );
    expect(times('begin')).toBe(1);
    expect(asked).not.toContain('PUT');
  });

  it('is finished without the condition where a gateway does not know that', async () => {
    answer = (request, bound) => (request === 'complete' && bound ? [501, errorOf('NotImplemented')] : usual(request));
    expect(await put()).toBe(true);
    expect(times('complete')).toBe(2);
  });

  it.each([
    ['another writer was first', 412, 'PreconditionFailed'],
    ['the answer of an earlier try was lost', 404, 'NoSuchUpload'],
  ])('created nothing where %s and the object is there', async (_, status, code) => {
    answer = (request) => {
      if (request === 'HEAD') return [times('complete') > 0 ? 200 : 404];
      return request === 'complete' ? [status, errorOf(code)] : usual(request);
    };
    expect(await put()).toBe(false);
  });

  it('that the store loses is begun anew; after some times it is said, and nothing is left under way', async () => {
    answer = (request) => (request === 'part 2' && times('begin') === 1 ? [404, errorOf('NoSuchUpload')] : usual(request));
    expect(await put()).toBe(true);
    expect([times('begin'), times('abort')]).toEqual([2, 2]);
    answer = (request) => (request.startsWith('part') ? [403, errorOf('AccessDenied')] : usual(request));
    const error: unknown = await put().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StoreUnavailable);
    expect(String(error)).toContain('MW_S3_ACCESS_KEY');
    expect(times('abort')).toBe(times('begin'));
  });
});
