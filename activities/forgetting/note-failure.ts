import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import type { ForgettingKey } from '../../core/forgetting.ts';
import { failureTypes } from '../../core/failure-types.ts';
import type { Pool } from '../../platform/mysql.ts';
import { idOf, noteState, ofForgetting } from './forgettings.ts';

const begunAgain = 'it is begun again within five minutes, by the schedule `forgettings`';

/** A sentence of ours; of anything else only what it is, for nobody knows what it says. */
function reasonOf(error: unknown): string {
  if (error instanceof ApplicationFailure && (error.type ?? '') in failureTypes) return error.message;
  return `an error that is not expected (${error instanceof Error ? error.name : typeof error}): see the log of the worker \`sharding\``;
}

/** Work of a forgetting that says in the request's own state why it does not go on, and throws as before. Key: forgetting. */
export async function notingFailure<T>(pool: Pool, key: ForgettingKey, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    // Without a database there is nowhere to say it: whoever asks for the state is told that instead.
    if (!(error instanceof CancelledFailure)) await noteFailure(pool, key, error).catch(() => undefined);
    throw error;
  }
}

async function noteFailure(pool: Pool, key: ForgettingKey, error: unknown): Promise<void> {
  const forGood = error instanceof ApplicationFailure && error.nonRetryable === true;
  if (forGood) return await noteFailed(pool, key, reasonOf(error));
  await pool.query(`UPDATE modelwright_control.forgettings SET waits_for = ? WHERE ${ofForgetting} AND ended_at IS NULL`, [
    JSON.stringify([`it is tried again: ${reasonOf(error)}`]),
    ...idOf(key),
  ]);
}

/** Its workflow fails with this. Key: forgetting. */
export const noteFailed = (pool: Pool, key: ForgettingKey, reason: string): Promise<void> =>
  noteState(pool, key, 'blocked', [`it failed: ${reason}`, begunAgain]);
