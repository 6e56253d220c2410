import { CorruptObject, ObjectMissing, ObjectTooLarge, StoreUnavailable } from '../store/object-store.ts';
import { failure } from './failure.ts';
import { withDatabase } from './registry/database.ts';

/** Runs work against MySQL and the store: one that is away is a reason to try again, bytes that are wrong or missing are not. */
export const withInfrastructure = <T>(work: () => Promise<T>): Promise<T> =>
  withDatabase(async () => {
    try {
      return await work();
    } catch (error) {
      if (error instanceof StoreUnavailable) throw failure('Unavailable', `${error.message}: see \`mw status\``, error);
      if (error instanceof CorruptObject || error instanceof ObjectMissing) throw failure('Corrupt', error.message, error);
      if (error instanceof ObjectTooLarge) throw failure('BadOptions', error.message, error);
      throw error;
    }
  });
