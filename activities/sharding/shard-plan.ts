import { sha256Hex } from '../../platform/hash.ts';

export type PlannedTensor = { readonly name: string; readonly dtype: string; readonly shape: readonly number[]; readonly bytes: number };

/**
 * Groups tensors, in their order, into shards of whole tensors of about `targetBytes`. A tensor of half of that or more has a shard of its own; smaller
 * ones are put together, over larger ones between them, to between half and twice the target (only the last may be smaller).
 *
 * Where a shard ends is decided by the name and the size of its last tensor, once it has half the target: a tensor that is added, removed or resized
 * changes the shards about it, and those after the next such end are what they were.
 */
export function planShards<T extends PlannedTensor>(tensors: readonly T[], targetBytes: number): T[][] {
  const least = targetBytes / 2;
  const most = targetBytes * 2;
  const shards: T[][] = [];
  let open: T[] | null = null;
  let size = 0;
  for (const tensor of tensors) {
    if (tensor.bytes >= least) {
      shards.push([tensor]);
      continue;
    }
    if (!open || size + tensor.bytes > most) {
      shards.push((open = []));
      size = 0;
    }
    open.push(tensor);
    size += tensor.bytes;
    if (size >= least && endsShard(tensor, targetBytes - least)) open = null;
  }
  return shards;
}

/** True for one tensor in so many that, on average, `everyBytes` lie between two of them. */
const endsShard = ({ name, bytes }: PlannedTensor, everyBytes: number): boolean =>
  Number.parseInt(sha256Hex(name).slice(0, 8), 16) < 2 ** 32 * (bytes / everyBytes);
