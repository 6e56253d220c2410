import { resolvePaths } from '../../platform/paths.ts';
import { trainerProvisioners } from '../local/provisioners.ts';

/** What the image needs of the cache: the trainer's environment and the base encoders. */
const context = { paths: resolvePaths(process.env), signal: new AbortController().signal, report: (line: string) => console.log(line) };
for (const provisioner of trainerProvisioners) await provisioner.provision(context);
