import { type IncomingHttpHeaders, type IncomingMessage, type Server, type ServerResponse, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { afterEach, expect, it } from 'vitest';
import type { Config } from '../platform/config.ts';
import { createS3Client } from '../platform/s3.ts';
import { type GatewayAbilities, lackingAbilities, probeGateway } from './gateway-probe.ts';
import { GatewayRefused } from './gateway-refused.ts';
import { type Gateway, keysOf } from './object-store-contract.ts';
import { StoreUnavailable } from './object-store.ts';
import { createS3ObjectStore } from './s3-object-store.ts';

type Change = {
  /** A header that is ignored. Since it is signed, such requests are signed anew by the proxy. */
  readonly drop?: string;
  readonly date?: Date;
  readonly fail?: (headers: IncomingHttpHeaders, url: string, method: string) => number | null;
};

/** A proxy before the real gateway that changes one thing. The header Host stays as it was signed. */
export async function proxyOf(s3: Config['s3'], { drop, date, fail }: Change): Promise<{ readonly url: string; readonly server: Server }> {
  const client = createS3Client({ s3 });
  const pass = async (incoming: IncomingMessage, answer: ServerResponse): Promise<void> => {
    const status = fail?.(incoming.headers, incoming.url ?? '', incoming.method ?? '') ?? null;
    if (status !== null) {
      incoming.resume();
      answer.writeHead(status).end();
      return;
    }
    let target = new URL(incoming.url ?? '', s3.endpoint);
    let headers: IncomingHttpHeaders = incoming.headers;
    if (drop !== undefined && drop in headers) {
      const at = { Bucket: s3.bucket, Key: decodeURIComponent(target.pathname).slice(s3.bucket.length + 2) };
      const command = incoming.method === 'PUT' ? new PutObjectCommand(at) : new GetObjectCommand(at);
      target = new URL(await getSignedUrl(client, command, { expiresIn: 60 }));
      headers = incoming.method === 'PUT' ? { 'content-length': headers['content-length'] } : {};
    }
    const onward = request(target, { method: incoming.method, headers }, (answered) => {
      answer.writeHead(answered.statusCode ?? 502, { ...answered.headers, ...(date ? { date: date.toUTCString() } : {}) });
      answered.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    incoming.pipe(onward);
  };
  const server = createServer((incoming, answer) => void pass(incoming, answer).catch(() => answer.destroy()));
  server.on('close', () => client.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

/** What the probe of a start finds. Call it within a `describe`; `lacks` is what this gateway is known to lack. */
export function gatewayProbeContract(gateway: () => Gateway, lacks: Partial<GatewayAbilities>): void {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });
  const through = async (change: Change) => {
    const { s3 } = gateway();
    const { url, server } = await proxyOf(s3, change);
    servers.push(server);
    return { s3: { ...s3, endpoint: url } };
  };
  const refusalOf = async (s3: Gateway['s3']): Promise<GatewayRefused> => {
    const error: unknown = await probeGateway({ s3 }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(GatewayRefused);
    return error as GatewayRefused;
  };

  it('finds what the gateway does, and leaves nothing behind', async () => {
    const { s3 } = gateway();
    const found = await probeGateway({ s3 });
    expect(Math.abs(found.clockSkewMs)).toBeLessThan(60_000);
    const all = { range: true, copy: true, copyPart: true, conditionalComplete: true, checksums: true, objectLock: false, versions: false };
    expect(found).toEqual({ ...all, clockSkewMs: found.clockSkewMs, ...lacks });
    expect(lackingAbilities(found)).toHaveLength(Object.keys(lacks).length);
    const left = await keysOf(createS3ObjectStore(createS3Client({ s3 }), s3.bucket), 'probe/');
    expect(left).toEqual([]);
  });

  it('refuses a gateway behind which If-None-Match is lost', async () => {
    const { s3 } = await through({ drop: 'if-none-match' });
    expect((await refusalOf(s3)).problem).toMatch(/ignores `If-None-Match: \*` on PUT.*3 of 3 writers/);
  });

  it('goes without ranges and checksums where they are ignored', async () => {
    expect((await probeGateway(await through({ drop: 'range' }))).range).toBe(false);
    expect((await probeGateway(await through({ drop: 'content-md5' }))).checksums).toBe(false);
  });

  it('goes without copies where there are none', async () => {
    const found = await probeGateway(await through({ fail: (headers) => ('x-amz-copy-source' in headers ? 501 : null) }));
    expect(found).toMatchObject({ copy: false, copyPart: false });
    expect(lackingAbilities(found)).toContain('it does not copy objects itself: bytes travel twice');
  });

  it('refuses a gateway whose clock is off', async () => {
    const { s3 } = await through({ date: new Date(Date.now() + 600_000) });
    expect((await refusalOf(s3)).problem).toMatch(/the clock of .* is (59\d|60\d) s ahead of this machine's/);
  });

  it('refuses a bucket that is missing, and one that may not be used', async () => {
    const { s3, stranger } = gateway();
    expect((await refusalOf({ ...s3, bucket: 'no-such-bucket-here' })).problem).toContain('bucket no-such-bucket-here does not exist');
    const denied = await refusalOf({ ...s3, ...stranger });
    expect(denied.problem).toMatch(/MW_S3_ACCESS_KEY may not .* in bucket/);
    expect(denied.message).not.toContain(stranger.secretKey);
  });

  it('does not judge a gateway that is away', async () => {
    const { s3 } = await through({ fail: () => 503 });
    await expect(probeGateway({ s3 })).rejects.toThrow(StoreUnavailable);
  });
}
