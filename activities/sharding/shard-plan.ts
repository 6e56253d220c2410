/** Shards are filled to this size; a tensor that is larger has one of its own. */
const targetBytes = 32 * 1024 * 1024;

export type PlannedTensor = { readonly name: string; readonly dtype: string; readonly shape: readonly number[]; readonly bytes: number };

/** Groups tensors, in their order, into shards of whole tensors. Equal tensors in equal order give equal shards. */
export function planShards<T extends PlannedTensor>(tensors: readonly T[]): T[][] {
  const shards: T[][] = [];
  let size = 0;
  for (const tensor of tensors) {
    const current = shards.at(-1);
    if (current && size + tensor.bytes <= targetBytes) {
      current.push(tensor);
      size += tensor.bytes;
    } else {
      shards.push([tensor]);
      size = tensor.bytes;
    }
  }
  return shards;
}
