import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import type { ClusterPlace } from './place.ts';

export type ApiAnswer = { readonly status: number; readonly body: string };
export type ApiCall = (method: string, path: string, body?: string, contentType?: string) => Promise<ApiAnswer>;

const callTimeoutMs = 10_000;

/** Calls the cluster's API as its administrator, from outside of the network namespace. */
export function apiOf(place: ClusterPlace, hostPort: number): ApiCall {
  const [ca, cert, key] = ['ca.crt', 'admin.crt', 'admin.key'].map((file) => readFileSync(join(place.pki, file)));
  return async (method, path, body, contentType = 'application/json') =>
    await new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': contentType, 'content-length': Buffer.byteLength(body) };
      const call = request(
        { host: '127.0.0.1', port: hostPort, path, method, ca, cert, key, headers, timeout: callTimeoutMs, agent: false },
        (answer) => {
          let text = '';
          answer.setEncoding('utf8');
          answer.on('data', (part: string) => (text += part));
          answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: text }));
          answer.on('error', reject);
        },
      );
      call.on('timeout', () => call.destroy(new Error(`the API server has not answered ${method} ${path} in time`)));
      call.on('error', reject);
      call.end(body);
    });
}

/** Creates or changes an object as a whole; JSON is YAML as well. */
export async function applyObject(call: ApiCall, path: string, yaml: string): Promise<void> {
  const answer = await call('PATCH', `${path}?fieldManager=modelwright&force=true`, yaml, 'application/apply-patch+yaml');
  if (answer.status >= 300) throw new Error(`the API server refused ${path}: ${answer.status} ${answer.body.slice(0, 300)}`);
}
