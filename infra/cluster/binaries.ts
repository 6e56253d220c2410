import { globSync, readFileSync } from 'node:fs';
import { chmod, copyFile, cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { sha256Hex } from '../../platform/hash.ts';
import type { Paths } from '../../platform/paths.ts';
import { buildCacheEntry, isComplete } from '../local/cache-entry.ts';
import { unpackDebianPackages } from '../local/debian-packages.ts';
import type { ProvisionContext, Provisioner } from '../local/provision-context.ts';
import { runCommand } from '../local/run-command.ts';

/**
 * Programs of the development cluster, each in a cache folder that is named by its version or a digest of its sources. Measured on two cores from
 * nothing, in minutes of CPU time: Kubernetes 17, containerd 2.6, CoreDNS 1.5, etcd 1, runc 0.4, the others seconds; KWOK 2.9, Kueue 8.8.
 */
const kubernetesVersion = '1.37.2';
const containerd = 'github.com/containerd/containerd/v2/cmd';
const containerdVersion = 'v2.4.2';
const cniPlugins = 'github.com/containernetworking/plugins/plugins';
const cniVersion = 'v1.9.1';
const runcVersion = 'v1.5.2';
const kwokVersion = 'v0.8.0';
const kueueVersion = 'v0.19.2';

const strip = '-ldflags=-s -w';
/** Debian's suite for the two static libraries and programs that are no Go. */
const debianSuite = 'bookworm';

type Build = (context: ProvisionContext, folder: string) => Promise<void>;
type Program = { readonly title: string; readonly version: string; readonly folder: string; readonly build: Build };

async function go(
  context: ProvisionContext,
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<void> {
  await runCommand('go', args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { CGO_ENABLED: '0', GOTOOLCHAIN: 'local', ...options.env },
    signal: context.signal,
    onLine: (line) => context.report(`compiling ${line.slice(0, 80)}`),
  });
}

const moduleSources = (name: string): string => join(import.meta.dirname, name);

/** One of the Go modules beside this file. */
function ownModule(name: string, title: string, version: string, ldflags = '', after: Build = async () => undefined): Program {
  const sources = moduleSources(name);
  const files = globSync('{*.go,go.mod,go.sum}', { cwd: sources }).sort();
  const digest = sha256Hex([ldflags, ...files.map((file) => readFileSync(join(sources, file), 'utf8'))].join('\0'));
  const target = files.includes('main.go') ? '.' : toolOf(join(sources, 'go.mod'));
  return {
    title,
    version,
    folder: `cluster-${name}-${digest.slice(0, 12)}`,
    build: async (context, folder) => {
      await go(context, ['build', '-v', '-trimpath', `${strip} ${ldflags}`.trim(), '-o', join(folder, name), target], {
        cwd: sources,
        env: { GOFLAGS: '-mod=readonly' },
      });
      await after(context, folder);
    },
  };
}

/** A module without sources of its own builds the program that it names as its tool. */
const toolOf = (file: string): string => /^tool (\S+)$/m.exec(readFileSync(file, 'utf8'))?.[1] ?? '.';

function installed(name: string, title: string, version: string, build: Build): Program {
  return { title, version, folder: `cluster-${name}-${version.replace(/^v/, '')}`, build };
}

const programNames = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kubectl'];
const stamp = (name: string, value: string): string => `-X k8s.io/component-base/version.${name}=${value}`;
const kubernetesStamps = [
  stamp('gitVersion', `v${kubernetesVersion}`),
  stamp('gitMajor', '1'),
  stamp('gitMinor', kubernetesVersion.split('.')[1] ?? ''),
  stamp('gitTreeState', 'clean'),
].join(' ');

const debian = installed('debian', 'busybox and libseccomp', '1', async (context, folder) => {
  await unpackDebianPackages(context, folder, { suite: debianSuite, packages: ['busybox-static', 'libseccomp-dev'], dependencies: false });
});

const pause = ownModuleOfC('pause', 'Pause container');

function ownModuleOfC(name: string, title: string): Program {
  const source = join(moduleSources(name), `${name}.c`);
  return {
    title,
    version: '1',
    folder: `cluster-${name}-${sha256Hex(readFileSync(source)).slice(0, 12)}`,
    build: async (context, folder) =>
      void (await runCommand('gcc', ['-Os', '-static', '-s', '-o', join(folder, name), source], { signal: context.signal })),
  };
}

const runc = installed('runc', 'runc', runcVersion, async (context, folder) => {
  const root = join(context.paths.cache, debian.folder);
  const library = join(root, globSync('usr/lib/*-linux-gnu', { cwd: root })[0] ?? 'usr/lib');
  // Stands in for pkg-config, which need not be installed: the library lies where no one looks for it.
  const flags = join(folder, 'seccomp-flags');
  const answers = [`*--cflags*) echo "-I${root}/usr/include" ;;`, `*--libs*) echo "-L${library} -lseccomp" ;;`];
  await writeFile(flags, ['#!/bin/sh', 'case "$*" in', ...answers, 'esac', ''].join('\n'));
  await chmod(flags, 0o755);
  const wanted = ['-tags=seccomp netgo osusergo urfave_cli_no_docs', '-ldflags=-s -w -linkmode external -extldflags -static'];
  await go(context, ['install', '-v', '-trimpath', ...wanted, `github.com/opencontainers/runc@${runcVersion}`], {
    env: { CGO_ENABLED: '1', GOBIN: folder, PKG_CONFIG: flags },
  });
});

const containerdProgram = installed('containerd', 'containerd', containerdVersion, async (context, folder) => {
  const install = (tags: string, names: readonly string[]): Promise<void> =>
    go(
      context,
      ['install', '-v', '-trimpath', strip, `-tags=${tags}`, ...names.map((name) => `${containerd}/${name}@${containerdVersion}`)],
      {
        env: { GOBIN: folder },
      },
    );
  await install('urfave_cli_no_docs static_build', ['containerd', 'ctr']);
  await install('urfave_cli_no_docs static_build no_grpc', ['containerd-shim-runc-v2']);
});

const cni = installed('cni', 'Container network plugins', cniVersion, async (context, folder) => {
  const names = ['main/bridge', 'main/loopback', 'ipam/host-local'].map((name) => `${cniPlugins}/${name}@${cniVersion}`);
  await go(context, ['install', '-v', '-trimpath', strip, ...names], { env: { GOBIN: folder } });
});

const kubernetes = ownModule(
  'kubernetes',
  'Kubernetes (some minutes the first time)',
  kubernetesVersion,
  kubernetesStamps,
  async (_, folder) => {
    for (const name of programNames) await symlink('kubernetes', join(folder, name));
  },
);

/** Folder of a module's sources, once it has been downloaded. */
const folderOfModule = async (context: ProvisionContext, module: string, cwd: string): Promise<string> => {
  const options = { cwd, env: { GOTOOLCHAIN: 'local' }, signal: context.signal };
  const { Dir } = JSON.parse(await runCommand('go', ['mod', 'download', '-json', module], options)) as { Dir: string };
  return Dir;
};

const kwok = installed('kwok', 'KWOK', kwokVersion, async (context, folder) => {
  await go(context, ['install', '-v', '-trimpath', strip, `sigs.k8s.io/kwok/cmd/kwok@${kwokVersion}`], { env: { GOBIN: folder } });
  const stages = join(await folderOfModule(context, `sigs.k8s.io/kwok@${kwokVersion}`, folder), 'kustomize/stage');
  const files = ['node/fast', 'node/heartbeat-with-lease', 'pod/fast'].flatMap((stage) =>
    globSync(join(stages, stage, '{node,pod}-*.yaml')),
  );
  await mkdir(join(folder, 'stages'));
  for (const file of files) {
    await copyFile(file, join(folder, 'stages', basename(file)));
    await chmod(join(folder, 'stages', basename(file)), 0o644);
  }
});

const kueue = ownModule('kueue', 'Kueue', kueueVersion, '', async (context, folder) => {
  const module = await folderOfModule(context, `sigs.k8s.io/kueue@${kueueVersion}`, moduleSources('kueue'));
  for (const part of ['crd/bases', 'webhook']) await cp(join(module, 'config/components', part), join(folder, part), { recursive: true });
});

const programs = {
  kubernetes,
  containerd: containerdProgram,
  dns: ownModule('dns', 'CoreDNS', '1.15.0'),
  etcd: ownModule('etcd', 'etcd', '3.7.3'),
  debian,
  runc,
  cni,
  gpuPlugin: ownModule('gpu-plugin', 'Simulated GPUs', '1'),
  forwarder: ownModule('forwarder', 'Port forwarder', '1'),
  pause,
  kwok,
  kueue,
} as const;
export type ClusterProgram = keyof typeof programs;

export const programFolder = (paths: Paths, program: ClusterProgram): string => join(paths.cache, programs[program].folder);

/** Path of a program's file; the program's own name where it is not said. */
export const programFile = (paths: Paths, program: ClusterProgram, file: string): string => join(programFolder(paths, program), file);

const provisionerOf = ({ title, version, folder, build }: Program, needs: readonly Program[] = []): Provisioner => {
  const provision = async (context: ProvisionContext): Promise<void> => {
    for (const need of needs) await provisionerOf(need).provision(context);
    await buildCacheEntry(context, join(context.paths.cache, folder), async (temporary) => await build(context, temporary));
  };
  return { name: title, version, ready: async ({ paths }) => isComplete(join(paths.cache, folder)), provision };
};

/** What every cluster needs, the slowest first. */
export const clusterProvisioners: readonly Provisioner[] = [
  provisionerOf(programs.kubernetes),
  provisionerOf(programs.containerd),
  provisionerOf(programs.dns),
  provisionerOf(programs.etcd),
  provisionerOf(programs.runc, [debian]),
  provisionerOf(programs.debian),
  provisionerOf(programs.cni),
  provisionerOf(programs.gpuPlugin),
  provisionerOf(programs.forwarder),
  provisionerOf(programs.pause),
];
export const kueueProvisioner = provisionerOf(programs.kueue);
export const kwokProvisioner = provisionerOf(programs.kwok);
