import type { Provisioner } from './provision-context.ts';
import { s3Provisioner, temporalProvisioner } from './go-binaries.ts';
import { kafkaProvisioner } from './java-classpath.ts';
import { mysqlProvisioner } from './mysql-package.ts';

/** Everything that the engines need, the slowest first. */
export const engineProvisioners: readonly Provisioner[] = [temporalProvisioner, s3Provisioner, kafkaProvisioner, mysqlProvisioner];
