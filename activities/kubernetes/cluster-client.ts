import { request } from 'node:https';
import { request as plainRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { json } from 'node:stream/consumers';
import {
  AuthorizationV1Api,
  BatchV1Api,
  CoreV1Api,
  CustomObjectsApi,
  KubeConfig,
  NetworkingV1Api,
  type V1Job,
  VersionApi,
} from '@kubernetes/client-node';
import { sleep } from '../../platform/clock.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { failure } from '../failure.ts';

/** Waits between tries against an API server that is away, and how often it is tried before that is told as a failure. */
const retryWaitsMs = [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000];

const listWithinMs = 60_000;

/** The cluster cannot be used as it is configured: what is wrong and what to do. */
export class ClusterRefused extends Error {
  override name = 'ClusterRefused';
}

export type ClusterClient = {
  readonly namespace: string;
  /** Which of the installations that may share the namespace we are. */
  readonly installation: string;
  readonly server: string;
  readonly core: CoreV1Api;
  readonly batch: BatchV1Api;
  readonly networking: NetworkingV1Api;
  readonly authorization: AuthorizationV1Api;
  readonly custom: CustomObjectsApi;
  readonly version: VersionApi;
  /** A GET whose body is read as it comes: watches and logs. Resolves with the answer of status 200. */
  readonly stream: (path: string, query: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<IncomingMessage>;
};

/** Reads a list as it comes: the client's own models take many times as long for thousands of objects. */
export async function listAt<T>(cluster: ClusterClient, path: string, query: Readonly<Record<string, string>> = {}): Promise<readonly T[]> {
  const { items } = (await json(await cluster.stream(path, query, AbortSignal.timeout(listWithinMs)))) as { readonly items: readonly T[] };
  return items;
}

/** HTTP status of an error of the client; 0: there was no answer. */
export const statusOf = (error: unknown): number => {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'number' ? code : 0;
};

/** What the API server said; it never has more than names of objects and fields. */
export function reasonOf(error: unknown): string {
  const { body } = (error ?? {}) as { body?: unknown };
  try {
    const { message } = (typeof body === 'string' ? JSON.parse(body) : body) as { message?: unknown };
    if (typeof message === 'string') return message;
  } catch {
    // Not an answer of the API server.
  }
  if (statusOf(error) > 0) return `status ${statusOf(error)}`;
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : 'no answer';
}

export const isMissing = (error: unknown): boolean => statusOf(error) === 404;
export const isTaken = (error: unknown): boolean => statusOf(error) === 409;
const mayPass = (error: unknown): boolean => [0, 408, 429, 500, 502, 503, 504].includes(statusOf(error));

/** Connects to what the file, or else KUBECONFIG, ~/.kube/config or the pod's own account names. Nothing is asked of the cluster yet. */
export function connectCluster(kubeconfig: string | undefined, namespace: string, installation: string): ClusterClient {
  const config = new KubeConfig();
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
  } catch (error) {
    throw new ClusterRefused(
      `the kubeconfig ${kubeconfig ?? ''} cannot be read (${error instanceof Error ? error.message : 'error'}): set MW_KUBECONFIG to one that kubectl takes`,
      { cause: error },
    );
  }
  const cluster = config.getCurrentCluster();
  if (!cluster || cluster.name === 'loaded-from-default' || cluster.server === 'http://localhost:8080')
    throw new ClusterRefused(
      'there is no kubeconfig: set MW_KUBECONFIG to one that kubectl takes, or run `./mw cluster up` for a cluster of your own',
    );
  keepConnections(config);
  return {
    namespace,
    installation,
    server: cluster.server,
    core: config.makeApiClient(CoreV1Api),
    batch: config.makeApiClient(BatchV1Api),
    networking: config.makeApiClient(NetworkingV1Api),
    authorization: config.makeApiClient(AuthorizationV1Api),
    custom: config.makeApiClient(CustomObjectsApi),
    version: config.makeApiClient(VersionApi),
    stream: async (path, query, signal) => {
      const url = new URL(cluster.server + path);
      for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
      const options = {};
      await config.applyToHTTPSOptions(options);
      return await new Promise((resolve, reject) => {
        const send = url.protocol === 'http:' ? plainRequest : request;
        const sent = send(url, { ...options, method: 'GET', signal }, (answer) => {
          if (answer.statusCode === 200) {
            resolve(answer);
            return;
          }
          answer.resume();
          reject(Object.assign(new Error(`GET ${path} was answered ${answer.statusCode ?? 0}`), { code: answer.statusCode }));
        });
        sent.once('error', reject);
        sent.end();
      });
    },
  };
}

type Dispatchers = { createDispatcher: (cluster: unknown, options: Readonly<Record<string, unknown>>) => unknown };

/** The client makes a new pool of connections for every request, which is a TLS handshake each: one pool serves until the credentials change. */
function keepConnections(config: KubeConfig): void {
  const dispatchers = config as unknown as Dispatchers;
  const make = dispatchers.createDispatcher.bind(config);
  let pool: unknown;
  let madeFor = '';
  dispatchers.createDispatcher = (cluster, options) => {
    const credentials = sha256Hex(JSON.stringify([options['ca'], options['cert'], options['key']].map(String)));
    if (credentials !== madeFor) [pool, madeFor] = [make(cluster, options), credentials];
    return pool;
  };
}

/** Makes something under a name that says what it is. False: it is there already. */
export const createUnlessThere = (what: string, create: () => Promise<unknown>): Promise<boolean> =>
  ask(what, create).then(
    () => true,
    (error: unknown) => {
      if (isTaken(error)) return false;
      throw error;
    },
  );

/** Null: there is none of that name. */
export const readJob = (cluster: ClusterClient, name: string): Promise<V1Job | null> =>
  ask(`read job ${name}`, () => cluster.batch.readNamespacedJob({ namespace: cluster.namespace, name })).catch((error: unknown) => {
    if (isMissing(error)) return null;
    throw error;
  });

/** A request that is repeated while the API server is away; what it refuses is told at once. Idempotent requests only. */
export async function ask<T>(what: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  for (const waitMs of [...retryWaitsMs, null]) {
    try {
      return await work();
    } catch (error) {
      if (signal?.aborted) throw error;
      if (!mayPass(error)) throw error;
      if (waitMs === null) throw failure('Unavailable', `the cluster's API server does not answer (${what}: ${reasonOf(error)})`);
      await sleep(waitMs, undefined, signal ? { signal } : {});
    }
  }
  throw new Error('unreachable');
}
