import type { Paths } from '../../platform/paths.ts';
import { programFile } from './binaries.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { type ClusterPlace, apiPort, controlAddress } from './place.ts';

export const apiForwarderName = 'forward-api';

/** Whoever runs outside of the namespace reaches the API server at this port of the host's loopback. */
export const startApiForwarder = (place: ClusterPlace, paths: Paths, hostPort: number): Daemon =>
  startDaemon(place, {
    name: apiForwarderName,
    command: programFile(paths, 'forwarder', 'forwarder'),
    args: ['-listen', `127.0.0.1:${hostPort}`, '-dial-in', place.network, '-dial', `127.0.0.1:${apiPort}`],
  });

export const podForwarderName = (podPort: number): string => `forward-pods-${podPort}`;

/** Pods reach a server of the host's loopback at this port of the control plane's address. */
export const startPodForwarder = (place: ClusterPlace, paths: Paths, hostPort: number, podPort: number): Daemon =>
  startDaemon(place, {
    name: podForwarderName(podPort),
    command: programFile(paths, 'forwarder', 'forwarder'),
    args: ['-listen-in', place.network, '-listen', `${controlAddress}:${podPort}`, '-dial', `127.0.0.1:${hostPort}`],
  });
