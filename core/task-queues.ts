/** One task queue a worker process. Workflows and light activities share `orchestrator`. */
export const taskQueues = { orchestrator: 'orchestrator', dataset: 'dataset', training: 'training', sharding: 'sharding' } as const;
export const tenantWorkflowType = 'tenantWorkflow';
export const trainingRunType = 'trainingRun';
