import type { Provisioner } from './provision-context.ts';
import { s3Provisioner, temporalProvisioner } from './go-binaries.ts';
import { kafkaProvisioner } from './java-classpath.ts';
import { mysqlProvisioner } from './mysql-package.ts';
import { baseModelsProvisioner } from './base-models.ts';
import { trainerEnvProvisioner } from './trainer-env.ts';

/** Everything that the engines need, the slowest first. */
export const engineProvisioners: readonly Provisioner[] = [temporalProvisioner, s3Provisioner, kafkaProvisioner, mysqlProvisioner];

/** What trainings and serving need, in this order: the second uses the first. */
export const trainerProvisioners: readonly Provisioner[] = [trainerEnvProvisioner, baseModelsProvisioner];
