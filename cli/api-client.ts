import type { Readable } from 'node:stream';

type ProblemBody = {
  readonly title?: string;
  readonly detail?: string;
  readonly code?: string;
  readonly errors?: readonly { readonly pointer?: string; readonly line?: number; readonly message: string }[];
};

/** Named in an error at most. */
const maxNamedErrors = 10;

/** An answer of the API that is a problem: its sentence, its code, and the fields it names. */
export class ApiProblem extends Error {
  override name = 'ApiProblem';
  readonly status: number;
  readonly code: string;
  constructor(status: number, body: ProblemBody) {
    const named = (body.errors ?? []).slice(0, maxNamedErrors).map(({ pointer, line, message }) => {
      const where = line === undefined ? (pointer ?? '') : `line ${line}${pointer === undefined ? '' : ` ${pointer}`}`;
      return `\n  ${where}: ${message}`;
    });
    super(`${body.detail ?? body.title ?? `status ${status}`}${named.join('')}`);
    this.status = status;
    this.code = body.code ?? '';
  }
}

/** The API may be restarting: whoever follows something asks again for this long. */
export const patienceMs = 60_000;
export const mayPass = (error: unknown): error is ApiProblem => error instanceof ApiProblem && (error.status === 0 || error.status >= 500);

export type ApiClient = {
  readonly url: string;
  /** One JSON request; the type is what the route's documentation promises. */
  call<T>(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<T>;
  /** A streamed upload. */
  upload<T>(path: string, type: string, body: Readable | AsyncIterable<Uint8Array>): Promise<T>;
};

export function createApiClient(url: string, key: string): ApiClient {
  const send = async (
    path: string,
    init: Omit<RequestInit, 'headers'> & { duplex?: 'half'; headers: Record<string, string> },
  ): Promise<Response> => {
    let response: Response;
    try {
      response = await fetch(`${url}${path}`, { ...init, headers: { ...init.headers, authorization: `Bearer ${key}` } });
    } catch (error) {
      throw new ApiProblem(0, { detail: `nothing answers at ${url}: start it with \`./mw up\`, or set MW_URL (${causeOf(error)})` });
    }
    if (response.ok) return response;
    throw new ApiProblem(response.status, (await response.json().catch(() => ({}))) as ProblemBody);
  };
  return {
    url,
    call: async <T>(method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<T> => {
      const response = await send(path, {
        method,
        headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return (response.status === 204 ? null : await response.json()) as T;
    },
    upload: async <T>(path: string, type: string, body: Readable | AsyncIterable<Uint8Array>): Promise<T> => {
      const response = await send(path, {
        method: 'POST',
        headers: { 'content-type': type },
        body: ReadableStream.from(body) as NonNullable<RequestInit['body']>,
        duplex: 'half',
      });
      return (await response.json()) as T;
    },
  };
}

function causeOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return (cause as { code?: string }).code ?? (cause instanceof Error ? cause.message : String(cause));
}
