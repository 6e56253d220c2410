/** Every long-running process, in start order; a stop goes in the reverse order. Names are part of `mw status --json`. */
export const engineNames = ['mysql', 'kafka', 'connect', 'temporal', 's3'] as const;
export const serviceNames = ['api', 'change-consumer', 'orchestrator', 'dataset', 'training', 'sharding', 'predictor'] as const;

export type EngineName = (typeof engineNames)[number];
export type ServiceName = (typeof serviceNames)[number];
export type ProcessName = EngineName | ServiceName;
