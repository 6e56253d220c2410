import { readFileSync, readdirSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadAllYaml } from '@kubernetes/client-node';
import type { Paths } from '../../platform/paths.ts';
import { type ApiCall, applyObject } from './api-call.ts';
import { programFile, programFolder } from './binaries.ts';
import { mustRun, startDaemon } from './daemon.ts';
import { inNetwork } from './network.ts';
import { shellWord } from './node-config.ts';
import { innerKubeconfig } from './pki.ts';
import type { ClusterPlace } from './place.ts';
import { waitFor } from './wait-for.ts';

const daemonName = 'kueue';
const webhookPort = 9443;
const healthPort = 8081;
const readyDeadlineMs = 120_000;
/** Webhooks of what is used here: queues, and Jobs that go through them. */
const usedWebhooks = /(clusterqueue|cohort|resourceflavor|workload|batch-v1-job)$/;
/** The path of Kueue's certificates cannot be set. */
const fixedCertificates = '/etc/kueue/metrics/certs';

type WebhookConfiguration = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly webhooks: readonly { readonly clientConfig: { readonly service: { readonly path: string } } }[];
};

/** Kueue's webhooks, served by a process beside the API server instead of by pods. */
export function webhooksByUrl(yaml: string, caBundle: string): { readonly path: string; readonly body: object }[] {
  return (loadAllYaml(yaml) as (WebhookConfiguration | null)[]).flatMap((configuration) => {
    if (configuration === null) return [];
    const { apiVersion, kind, metadata, webhooks } = configuration;
    const name = `kueue-${metadata.name}`;
    const used = webhooks.filter(({ clientConfig }) => usedWebhooks.test(clientConfig.service.path));
    const moved = used.map((webhook) => ({
      ...webhook,
      clientConfig: { url: `https://127.0.0.1:${webhookPort}${webhook.clientConfig.service.path}`, caBundle },
    }));
    const path = `/apis/${apiVersion}/${kind.toLowerCase()}s/${name}`;
    return [{ path, body: { apiVersion, kind, metadata: { name }, webhooks: moved } }];
  });
}

const configuration = (certificates: string): object => ({
  apiVersion: 'config.kueue.x-k8s.io/v1beta2',
  kind: 'Configuration',
  namespace: 'kueue-system',
  health: { healthProbeBindAddress: `127.0.0.1:${healthPort}` },
  metrics: { bindAddress: '0' },
  webhook: { host: '127.0.0.1', port: webhookPort, certDir: certificates },
  leaderElection: { leaderElect: false },
  internalCertManagement: { enable: false },
  clientConnection: { qps: 300, burst: 500 },
  manageJobsWithoutQueueName: false,
  integrations: { frameworks: ['batch/job'] },
  featureGates: { VisibilityOnDemand: false },
  // As docs/06-kubernetes.md tells an operator to set it.
  admissionFairSharing: {
    usageHalfLifeTime: '24h',
    usageSamplingInterval: '1m',
    resourceWeights: { 'nvidia.com/gpu': 1, cpu: 0.1, memory: 0 },
  },
});

/** Installs Kueue's definitions and runs its controller as a process of the cluster's network namespace. */
export async function startKueue(place: ClusterPlace, paths: Paths, call: ApiCall, signal: AbortSignal): Promise<void> {
  const sources = programFolder(paths, 'kueue');
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'kueue-system' } };
  await applyObject(call, '/api/v1/namespaces/kueue-system', JSON.stringify(namespace));
  const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  const names: string[] = [];
  for (const file of readdirSync(join(sources, 'crd/bases'))) {
    const yaml = readFileSync(join(sources, 'crd/bases', file), 'utf8');
    const [, name = ''] = /^  name: (\S+)$/m.exec(yaml) ?? [];
    names.push(name);
    await applyObject(call, `${definitions}/${name}`, yaml);
  }
  for (const name of names) {
    await waitFor(`Kueue's definition ${name} was not established`, readyDeadlineMs, signal, async () => {
      const { body } = await call('GET', `${definitions}/${name}`);
      return /"type":\s*"Established",\s*"status":\s*"True"/.test(body) ? true : 'not yet';
    });
  }
  const folder = join(place.home, 'kueue');
  const certificates = join(folder, 'certificates');
  const layers = { upper: join(folder, 'etc'), work: join(folder, 'etc-work') };
  for (const each of [certificates, layers.upper, layers.work]) await mkdir(each, { recursive: true });
  const config = join(folder, 'config.yaml');
  await writeFile(config, JSON.stringify(configuration(certificates), null, 2));
  const copies = [certificates, fixedCertificates].flatMap((target) => [
    `cp ${shellWord(join(place.pki, 'kueue.crt'))} ${shellWord(join(target, 'tls.crt'))}`,
    `cp ${shellWord(join(place.pki, 'kueue.key'))} ${shellWord(join(target, 'tls.key'))}`,
  ]);
  const script = [
    `mount -t overlay -o lowerdir=/etc,upperdir=${shellWord(layers.upper)},workdir=${shellWord(layers.work)} overlay /etc`,
    `mkdir -p ${fixedCertificates}`,
    ...copies,
    `exec ${shellWord(programFile(paths, 'kueue', 'kueue'))} --config ${shellWord(config)}`,
  ].join('\n');
  startDaemon(place, {
    name: daemonName,
    ...inNetwork(place, ['unshare', '--mount', 'sh', '-euc', script]),
    env: { KUBECONFIG: innerKubeconfig(place, 'admin') },
  });
  const webhooks = webhooksByUrl(
    readFileSync(join(sources, 'webhook/manifests.yaml'), 'utf8'),
    readFileSync(join(place.pki, 'ca.crt')).toString('base64'),
  );
  for (const { path, body } of webhooks) await applyObject(call, path, JSON.stringify(body));
  await waitFor('Kueue was not ready', readyDeadlineMs, signal, async () => {
    mustRun(place, daemonName);
    // An object that only its webhook can check: refused while the webhook is not served.
    const flavor = { apiVersion: 'kueue.x-k8s.io/v1beta2', kind: 'ResourceFlavor', metadata: { name: 'probe' } };
    const { status, body } = await call('POST', '/apis/kueue.x-k8s.io/v1beta2/resourceflavors?dryRun=All', JSON.stringify(flavor));
    return status === 201 ? true : body.slice(0, 200);
  });
}
