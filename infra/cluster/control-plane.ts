import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Paths } from '../../platform/paths.ts';
import type { ApiCall } from './api-call.ts';
import { programFile } from './binaries.ts';
import { endDaemon, mustRun, startDaemon } from './daemon.ts';
import { apiForwarderName } from './forwarder.ts';
import { inNetwork } from './network.ts';
import { innerKubeconfig } from './pki.ts';
import { type ClusterPlace, apiPort, clusterDomain, controlAddress, serviceRange } from './place.ts';
import { waitFor } from './wait-for.ts';

const readyDeadlineMs = 120_000;
const stopDeadlineMs = 5_000;
/**
 * A node that says nothing for so long is not ready: ten times sooner than by default, so that tests of lost nodes are short. Simulated nodes are many,
 * and all of them are late while the machine is busy: Kubernetes' own default for them.
 */
const nodeGrace = { usual: '8s', simulated: '50s' };
/** Development clusters create in bursts what others create in a day. */
const manyCalls = ['--kube-api-qps=200', '--kube-api-burst=400'];

export const apiServerName = 'apiserver';
const etcdClient = 'http://127.0.0.1:2379';
const etcdPeer = 'http://127.0.0.1:2380';

function start(place: ClusterPlace, name: string, file: string, args: readonly string[]): void {
  startDaemon(place, { name, ...inNetwork(place, [file, ...args]) });
}

export function startEtcd(place: ClusterPlace, paths: Paths): void {
  start(place, 'etcd', programFile(paths, 'etcd', 'etcd'), [
    `--data-dir=${join(place.home, 'etcd')}`,
    // What a power cut would take is not worth waiting for the disk.
    '--unsafe-no-fsync',
    '--log-level=warn',
    `--listen-client-urls=${etcdClient}`,
    `--advertise-client-urls=${etcdClient}`,
    `--listen-peer-urls=${etcdPeer}`,
    `--initial-advertise-peer-urls=${etcdPeer}`,
    `--initial-cluster=default=${etcdPeer}`,
  ]);
}

export function startApiserver(place: ClusterPlace, paths: Paths): void {
  const pki = (file: string): string => join(place.pki, file);
  start(place, apiServerName, programFile(paths, 'kubernetes', 'kube-apiserver'), [
    `--etcd-servers=${etcdClient}`,
    '--bind-address=0.0.0.0',
    `--secure-port=${apiPort}`,
    `--advertise-address=${controlAddress}`,
    `--service-cluster-ip-range=${serviceRange}`,
    `--tls-cert-file=${pki('apiserver.crt')}`,
    `--tls-private-key-file=${pki('apiserver.key')}`,
    `--client-ca-file=${pki('ca.crt')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${pki('accounts.pub')}`,
    `--service-account-signing-key-file=${pki('accounts.key')}`,
    `--kubelet-client-certificate=${pki('kubelet-client.crt')}`,
    `--kubelet-client-key=${pki('kubelet-client.key')}`,
    `--kubelet-certificate-authority=${pki('ca.crt')}`,
    '--kubelet-preferred-address-types=InternalIP',
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    '--profiling=false',
  ]);
}

export async function stopApiserver(place: ClusterPlace): Promise<void> {
  await endDaemon(place, apiServerName, stopDeadlineMs);
}

export async function waitForApiserver(place: ClusterPlace, call: ApiCall, signal: AbortSignal): Promise<void> {
  await waitFor('the API server was not ready', readyDeadlineMs, signal, async () => {
    for (const name of ['etcd', apiServerName, apiForwarderName]) mustRun(place, name);
    const { status, body } = await call('GET', '/readyz');
    return status === 200 ? true : body.slice(0, 200);
  });
}

/** How many Jobs the controller works on at once: Kubernetes' default, and for thousands of simulated ones. */
const concurrentJobs = { usual: 5, simulated: 20 };

export function startControllers(place: ClusterPlace, paths: Paths, nodes: 'usual' | 'simulated'): void {
  const pki = (file: string): string => join(place.pki, file);
  start(place, 'controllers', programFile(paths, 'kubernetes', 'kube-controller-manager'), [
    `--kubeconfig=${innerKubeconfig(place, 'controllers')}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
    `--service-account-private-key-file=${pki('accounts.key')}`,
    `--root-ca-file=${pki('ca.crt')}`,
    '--use-service-account-credentials',
    `--cluster-signing-cert-file=${pki('ca.crt')}`,
    `--cluster-signing-key-file=${pki('ca.key')}`,
    '--node-monitor-period=1s',
    `--node-monitor-grace-period=${nodeGrace[nodes]}`,
    '--terminated-pod-gc-threshold=500',
    `--concurrent-job-syncs=${concurrentJobs[nodes]}`,
    ...manyCalls,
  ]);
  start(place, 'scheduler', programFile(paths, 'kubernetes', 'kube-scheduler'), [
    `--kubeconfig=${innerKubeconfig(place, 'scheduler')}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
    ...manyCalls,
  ]);
}

/** Names of services and of pods behind headless ones, at port 53 of the control plane's address. Other names are not answered: nothing leads out. */
export async function startDns(place: ClusterPlace, paths: Paths): Promise<void> {
  const file = join(place.home, 'Corefile');
  const lines = [
    `${clusterDomain}:53 {`,
    `  bind ${controlAddress}`,
    '  errors',
    `  kubernetes ${clusterDomain} {`,
    `    kubeconfig "${innerKubeconfig(place, 'admin')}"`,
    '    ttl 5',
    '  }',
    '}',
  ];
  await writeFile(file, `${lines.join('\n')}\n`);
  start(place, 'dns', programFile(paths, 'dns', 'dns'), ['-conf', file]);
}
