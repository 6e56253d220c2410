import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { kubeletConfig, nodeScript, shellWord } from './node-config.ts';
import { clusterPlace } from './place.ts';

describe("a node's files", () => {
  it('quote every word for the shell', () => {
    const word = `it's a "word" with $HOME`;
    expect(execFileSync('sh', ['-c', `printf %s ${shellWord(word)}`], { encoding: 'utf8' })).toBe(word);
  });

  it('keep folders visible that lie where the node sees its own', () => {
    const place = clusterPlace('/var/lib/modelwright/cluster');
    const script = nodeScript(place.node(1), [place.home, '/opt/cache'], '/opt/cache/containerd/containerd');
    const lines = script.split('\n');
    const stage = '/var/lib/modelwright/cluster/node1/stage';
    const kept = lines.indexOf(`mount --no-mtab --bind '/var/lib/modelwright/cluster' '${stage}/modelwright/cluster'`);
    expect(kept).toBeGreaterThan(0);
    // Bound before the private folder takes the place of the real one.
    expect(lines.indexOf(`mount --no-mtab --move '${stage}' /var/lib`)).toBe(kept + 1);
    expect(script).not.toContain("--bind '/opt/cache'");
    expect(() => execFileSync('sh', ['-n'], { input: script })).not.toThrow();
  });

  it('give the kubelets of one namespace addresses and ports of their own', () => {
    const place = clusterPlace('/data/cluster');
    const [first, second] = [1, 2].map((number) => JSON.parse(kubeletConfig(place, place.node(number))) as Record<string, unknown>);
    expect(first?.['failCgroupV1']).toBe(false);
    const ownKeys = ['address', 'port', 'healthzPort', 'cgroupRoot', 'containerRuntimeEndpoint', 'podLogsDir', 'resolvConf'];
    expect(ownKeys.filter((key) => first?.[key] === undefined || first[key] === second?.[key])).toEqual([]);
  });
});
