import { ApplicationFailure } from '@temporalio/common';
import { type FailureType, failureTypes } from '../core/failure-types.ts';

/** A failure of the catalogue. `message` is a sentence that a stranger can act on; it never carries row text or secrets. */
export const failure = (type: FailureType, message: string, cause?: unknown, details?: readonly unknown[]): ApplicationFailure =>
  ApplicationFailure.create({
    type,
    message,
    nonRetryable: !failureTypes[type].retryable,
    ...(cause instanceof Error ? { cause } : {}),
    ...(details ? { details: [...details] } : {}),
  });
