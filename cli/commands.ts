import { registerBase } from './base.ts';
import { registerCeph } from './ceph.ts';
import { registerCluster } from './cluster.ts';
import type { RegisterCommand } from './command.ts';
import { registerConfig } from './config.ts';
import {
  registerCreate,
  registerPredict,
  registerPromote,
  registerReceipt,
  registerRetrain,
  registerSubmit,
  registerTenant,
} from './customize.ts';
import { registerDeadLetters } from './dead-letters.ts';
import { registerDemo } from './demo/command.ts';
import { registerDoctor } from './doctor.ts';
import { registerDown } from './down.ts';
import { registerFeedback } from './feedback.ts';
import { registerForget } from './forget.ts';
import { registerLineage } from './lineage.ts';
import { registerLogs } from './logs.ts';
import { registerModels } from './models.ts';
import { registerPull } from './pull.ts';
import { registerReset } from './reset.ts';
import { registerRuns } from './runs.ts';
import { registerSchema } from './schema.ts';
import { registerSource } from './source.ts';
import { registerStatus } from './status.ts';
import { registerStore } from './store.ts';
import { registerTest } from './test.ts';
import { registerUp } from './up.ts';
import { registerVerify } from './verify.ts';

/** Every command, in the order of `mw --help`. */
export const commands: readonly RegisterCommand[] = [
  registerDemo,
  registerUp,
  registerDown,
  registerStatus,
  registerLogs,
  registerDoctor,
  registerBase,
  registerCluster,
  registerCeph,
  registerDeadLetters,
  registerReset,
  registerStore,
  registerConfig,
  registerTenant,
  registerSource,
  registerCreate,
  registerSubmit,
  registerReceipt,
  registerVerify,
  registerLineage,
  registerForget,
  registerRuns,
  registerModels,
  registerPredict,
  registerFeedback,
  registerRetrain,
  registerPromote,
  registerSchema,
  registerPull,
  registerTest,
];
