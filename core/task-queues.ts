/** One task queue a worker process, and one more for what must not wait behind a long training. Workflows and light activities share `orchestrator`. */
export const taskQueues = {
  orchestrator: 'orchestrator',
  dataset: 'dataset',
  training: 'training',
  trainingControl: 'training-control',
  sharding: 'sharding',
} as const;
export const tenantWorkflowType = 'tenantWorkflow';
export const trainingRunType = 'trainingRun';
export const verificationType = 'verification';
export const verifyAllType = 'verifyAll';
export const janitorType = 'janitor';
export const storeGcType = 'storeGc';
export const storeScrubType = 'storeScrub';
export const forgetType = 'forget';
export const forgettingsType = 'forgettings';
