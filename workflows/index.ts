/** What the orchestrator's bundle exports: the workflow types by name. */
export { forget, forgettings } from './forget.ts';
export { janitor } from './janitor.ts';
export { storeGc, storeScrub } from './store-care.ts';
export { tenantWorkflow } from './tenant.ts';
export { trainingRun } from './training-run.ts';
export { verification, verifyAll } from './verification.ts';
