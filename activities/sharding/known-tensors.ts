import type { ModelManifest, ModelShard, ModelTensor } from '../../core/model.ts';

/** What is stored already: tensors by name, and shards, older ones first. */
export type StoredParts = Pick<ModelManifest, 'tensors' | 'shards'>;

export type TensorDescription = Pick<ModelTensor, 'dtype' | 'shape' | 'bytes' | 'sha256'>;

/**
 * Tensors of the base and of the parent version, which need not be stored again where a new version has them with the same bytes.
 *
 * Plain tools read every tensor of every file and keep the last of a name. So a stored shard is used only as long as no later one in use holds another
 * tensor of a name that is to come from it: where two shards are at odds, the tensor is stored anew. What is decided depends on the order of the
 * questions alone: the same model gives the same manifest however often it is sharded.
 */
export class KnownTensors {
  readonly #shards: readonly ModelShard[];
  readonly #places = new Map<string, number>();
  readonly #sources: readonly ModelManifest['tensors'][];
  /** Shards that hold a tensor of the name, by their place in the order. */
  readonly #holders = new Map<string, number[]>();
  readonly #used = new Set<number>();
  readonly #barred = new Set<number>();

  /** `ownNames`: names that the new version brings itself. All others it has from the base. */
  constructor(base: StoredParts, parent: StoredParts | null, ownNames: ReadonlySet<string>) {
    const baseShards = new Set(base.shards.map(({ sha256 }) => sha256));
    const others = (parent?.shards ?? []).filter(({ sha256, scope }) => scope === 'tenant' && !baseShards.has(sha256));
    this.#shards = [...base.shards, ...others];
    this.#sources = parent ? [parent.tensors, base.tensors] : [base.tensors];
    for (const [place, { sha256, unused }] of this.#shards.entries()) {
      this.#places.set(sha256, place);
      for (const name of unused ?? []) this.#hold(name, place);
    }
    for (const tensors of this.#sources) {
      for (const [name, { shard }] of Object.entries(tensors)) {
        const place = this.#places.get(shard);
        if (place !== undefined) this.#hold(name, place);
      }
    }
    for (const [name, { shard }] of Object.entries(base.tensors)) {
      const place = this.#places.get(shard);
      if (!ownNames.has(name) && place !== undefined) this.#use(name, place);
    }
  }

  /** Where the tensor is stored already; null where it is not, or must be stored anew. */
  reuse(name: string, wanted: TensorDescription): ModelTensor | null {
    for (const tensors of this.#sources) {
      const known = tensors[name];
      const place = known ? this.#places.get(known.shard) : undefined;
      if (known && place !== undefined && equal(known, wanted) && this.#use(name, place)) return known;
    }
    return null;
  }

  #hold(name: string, place: number): void {
    const places = this.#holders.get(name) ?? [];
    if (!places.includes(place)) this.#holders.set(name, [...places, place]);
  }

  #use(name: string, place: number): boolean {
    const later = (this.#holders.get(name) ?? []).filter((other) => other > place);
    if (this.#barred.has(place) || later.some((other) => this.#used.has(other))) return false;
    for (const other of later) this.#barred.add(other);
    this.#used.add(place);
    return true;
  }

  /** Shards of a version with these tensors, in the order that they must be in: known ones, then `own`. Each says what of it is not used. */
  shardsOf(tensors: ModelManifest['tensors'], own: readonly ModelShard[]): ModelShard[] {
    const namesOf = Map.groupBy(Object.entries(tensors), ([, { shard }]) => shard);
    const ownDigests = new Set(own.map(({ sha256 }) => sha256));
    return [...this.#shards.filter(({ sha256 }) => !ownDigests.has(sha256)), ...own]
      .filter(({ sha256 }) => namesOf.has(sha256))
      .map(({ sha256, bytes, key, scope }) => {
        const shard: ModelShard = { sha256, bytes, key, scope };
        const used = new Set(namesOf.get(sha256)?.map(([name]) => name));
        const place = ownDigests.has(sha256) ? undefined : this.#places.get(sha256);
        const unused = [...this.#holders].filter(([name, places]) => place !== undefined && places.includes(place) && !used.has(name));
        return unused.length === 0 ? shard : { ...shard, unused: unused.map(([name]) => name).sort() };
      });
  }
}

const equal = (known: TensorDescription, wanted: TensorDescription): boolean =>
  known.sha256 !== undefined &&
  known.sha256 === wanted.sha256 &&
  known.dtype === wanted.dtype &&
  known.shape.join() === wanted.shape.join();
