/** The only clock and the only source of randomness outside workflows. */
export const nowMs = (): number => Date.now();
export { randomBytes, randomUUID } from 'node:crypto';
export { setTimeout as sleep } from 'node:timers/promises';
