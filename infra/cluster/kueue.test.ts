import { expect, it } from 'vitest';
import { webhooksByUrl } from './kueue.ts';

it("points Kueue's webhooks at the process beside the API server, and leaves out those of what is not there", () => {
  const webhook = (path: string): string =>
    [`- name: ${path.slice(1)}`, '  clientConfig:', '    service:', '      name: webhook-service', `      path: ${path}`].join('\n');
  const yaml = [
    '---',
    'apiVersion: admissionregistration.k8s.io/v1',
    'kind: MutatingWebhookConfiguration',
    'metadata:',
    '  name: mutating-webhook-configuration',
    'webhooks:',
    webhook('/mutate-batch-v1-job'),
    webhook('/mutate-kubeflow-org-v1-pytorchjob'),
  ].join('\n');
  expect(webhooksByUrl(yaml, 'Q0E=')).toEqual([
    {
      path: '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/kueue-mutating-webhook-configuration',
      body: {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'MutatingWebhookConfiguration',
        metadata: { name: 'kueue-mutating-webhook-configuration' },
        webhooks: [{ name: 'mutate-batch-v1-job', clientConfig: { url: 'https://127.0.0.1:9443/mutate-batch-v1-job', caBundle: 'Q0E=' } }],
      },
    },
  ]);
});
