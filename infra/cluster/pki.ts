import { generateKeyPairSync } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomBytes } from '../../platform/clock.ts';
import { runCommand } from '../local/run-command.ts';
import { type ClusterPlace, apiPort, controlAddress, firstServiceAddress } from './place.ts';

const days = '3650';

type Certificate = { readonly name: string; readonly subject: string; readonly servedAt?: readonly string[] };

/** Who is who in the cluster. Without `servedAt` it is a client's. */
export function certificates(place: ClusterPlace, nodes: number): Certificate[] {
  const names = ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc'].map((name) => `DNS:${name}`);
  const addresses = ['127.0.0.1', controlAddress, firstServiceAddress].map((address) => `IP:${address}`);
  return [
    { name: 'apiserver', subject: '/CN=kube-apiserver', servedAt: [...names, ...addresses] },
    { name: 'kueue', subject: '/CN=kueue', servedAt: ['IP:127.0.0.1'] },
    { name: 'kubelet-client', subject: '/O=system:masters/CN=kube-apiserver-kubelet-client' },
    { name: 'admin', subject: '/O=system:masters/CN=admin' },
    { name: 'controllers', subject: '/CN=system:kube-controller-manager' },
    { name: 'scheduler', subject: '/CN=system:kube-scheduler' },
    ...Array.from({ length: nodes }, (_, index) => place.node(index + 1)).flatMap(({ name, address }) => [
      { name, subject: `/O=system:nodes/CN=system:node:${name}` },
      { name: `${name}-server`, subject: `/CN=${name}`, servedAt: [`DNS:${name}`, `IP:${address}`] },
    ]),
  ];
}

/** An authority of the cluster's own, and a key and certificate for every part of it. */
export async function makePki(place: ClusterPlace, nodes: number, signal: AbortSignal): Promise<void> {
  await mkdir(place.pki, { recursive: true, mode: 0o700 });
  const at = (file: string): string => join(place.pki, file);
  const key = async (name: string): Promise<void> => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    await writeFile(at(`${name}.key`), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  };
  const openssl = (args: readonly string[]): Promise<string> => runCommand('openssl', args, { cwd: place.pki, signal });
  await key('ca');
  await openssl(['req', '-x509', '-new', '-key', 'ca.key', '-subj', '/CN=modelwright-cluster', '-days', days, '-out', 'ca.crt']);
  const accounts = generateKeyPairSync('rsa', { modulusLength: 2048 });
  await writeFile(at('accounts.key'), accounts.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  await writeFile(at('accounts.pub'), accounts.publicKey.export({ type: 'spki', format: 'pem' }));
  await Promise.all(
    certificates(place, nodes).map(async ({ name, subject, servedAt }) => {
      await key(name);
      const use = servedAt ? `extendedKeyUsage=serverAuth\nsubjectAltName=${servedAt.join(',')}\n` : 'extendedKeyUsage=clientAuth\n';
      await writeFile(at(`${name}.ext`), use);
      await openssl(['req', '-new', '-key', `${name}.key`, '-subj', subject, '-out', `${name}.csr`]);
      const serial = `0x${randomBytes(8).toString('hex')}`;
      const issue = ['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-set_serial', serial, '-days', days];
      await openssl([...issue, '-extfile', `${name}.ext`, '-out', `${name}.crt`]);
    }),
  );
}

/** A kubeconfig is YAML, of which JSON is a part. */
export async function writeKubeconfig(place: ClusterPlace, file: string, name: string, port = apiPort): Promise<void> {
  const base64 = async (part: string): Promise<string> => (await readFile(join(place.pki, part))).toString('base64');
  const server = `https://127.0.0.1:${port}`;
  const user = { 'client-certificate-data': await base64(`${name}.crt`), 'client-key-data': await base64(`${name}.key`) };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'modelwright', cluster: { server, 'certificate-authority-data': await base64('ca.crt') } }],
    users: [{ name, user }],
    contexts: [{ name: 'modelwright', context: { cluster: 'modelwright', user: name } }],
    'current-context': 'modelwright',
  };
  await writeFile(file, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
}

/** For a part of the cluster that runs inside of its network namespace. */
export const innerKubeconfig = (place: ClusterPlace, name: string): string => join(place.pki, `${name}.kubeconfig`);
