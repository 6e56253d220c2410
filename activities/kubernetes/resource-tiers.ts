import { readFileSync } from 'node:fs';
import { z } from 'zod';

const quantity = z.string().regex(/^\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$/, 'must be a Kubernetes quantity such as 2, 500m or 4Gi');
const toleration = z.strictObject({
  key: z.string().optional(),
  operator: z.enum(['Exists', 'Equal']).optional(),
  value: z.string().optional(),
  effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']).optional(),
  tolerationSeconds: z.number().int().optional(),
});

const tierSchema = z.strictObject({
  cpu: quantity,
  memory: quantity,
  /** Of the job's work folder: dataset, checkpoints, base model. */
  disk: quantity,
  /** Of each worker. */
  gpus: z.number().int().min(0).default(0),
  /** Pods that train one model together. */
  workers: z.number().int().min(1).max(64).default(1),
  nodeSelector: z.record(z.string(), z.string()).default({}),
  tolerations: z.array(toleration).default([]),
  priorityClass: z.string().optional(),
  /** The tier that a job gets for which this one has too little memory. */
  next: z.string().optional(),
});

/** What a job gets of the cluster. Quantities as Kubernetes writes them; each worker gets as much. */
export type ResourceTier = z.infer<typeof tierSchema> & { readonly name: string };
export type ResourceTiers = ReadonlyMap<string, ResourceTier>;

/** Nodes with GPUs are usually tainted with their resource's name. */
const gpuNodes = [{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }];

/** What there is without MW_RESOURCE_TIERS. */
const defaults: unknown = {
  small: { cpu: '1', memory: '2Gi', disk: '6Gi', next: 'medium' },
  medium: { cpu: '2', memory: '4Gi', disk: '10Gi', next: 'large' },
  large: { cpu: '4', memory: '16Gi', disk: '30Gi' },
  gpu: { cpu: '4', memory: '16Gi', disk: '30Gi', gpus: 1, tolerations: gpuNodes, next: 'gpu-large' },
  'gpu-large': { cpu: '8', memory: '64Gi', disk: '100Gi', gpus: 1, tolerations: gpuNodes },
  'gpu-pair': { cpu: '4', memory: '16Gi', disk: '30Gi', gpus: 1, workers: 2, tolerations: gpuNodes },
};

/** A file of tiers that cannot be used: names the file, the tier and the field. */
export class WrongTiers extends Error {
  override name = 'WrongTiers';
}

/** The tiers of the file, or the default ones. */
export function loadResourceTiers(file: string | undefined): ResourceTiers {
  let raw = defaults;
  if (file !== undefined) {
    try {
      raw = JSON.parse(readFileSync(file, 'utf8'));
    } catch (error) {
      throw new WrongTiers(`MW_RESOURCE_TIERS: ${file} cannot be read as JSON (${error instanceof Error ? error.message : 'error'})`, {
        cause: error,
      });
    }
  }
  return parseTiers(raw, file ?? 'the default tiers');
}

export function parseTiers(raw: unknown, from: string): ResourceTiers {
  const parsed = z.record(z.string().regex(/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/, 'is no name of a tier'), tierSchema).safeParse(raw);
  if (!parsed.success)
    throw new WrongTiers(`${from}: ${parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')}`);
  const tiers = new Map(Object.entries(parsed.data).map(([name, tier]) => [name, { ...tier, name }]));
  for (const { name, next } of tiers.values()) {
    if (next !== undefined && !tiers.has(next)) throw new WrongTiers(`${from}: ${name}.next: there is no tier ${next}`);
    const seen = new Set([name]);
    for (let at = next; at !== undefined; at = tiers.get(at)?.next) {
      if (seen.has(at)) throw new WrongTiers(`${from}: ${name}.next leads back to ${at}`);
      seen.add(at);
    }
  }
  return tiers;
}

/** A tier that this installation does not have: names those that it has. */
export class UnknownTier extends Error {
  override name = 'UnknownTier';
}

/** The tier of that name, or the one so many steps above it, as far as there are any. */
export function tierOf(tiers: ResourceTiers, name: string, raises: number): ResourceTier {
  let tier = tiers.get(name);
  if (!tier) throw new UnknownTier(`there is no resource tier ${name} here: choose one of ${[...tiers.keys()].join(', ')}`);
  for (let step = 0; step < raises && tier.next !== undefined; step++) tier = tiers.get(tier.next) ?? tier;
  return tier;
}

const factors: Readonly<Record<string, number>> = {
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** A quantity as a number: cores, or bytes. */
export function amountOf(text: string): number {
  const [, number = '0', unit = ''] = /^(\d+(?:\.\d+)?)([a-zA-Z]*)$/.exec(text) ?? [];
  return Number(number) * (unit === '' ? 1 : (factors[unit] ?? Number.NaN));
}

/** Threads that a job of the tier computes with. */
export const threadsOf = ({ cpu }: Pick<ResourceTier, 'cpu'>): number => Math.max(1, Math.floor(amountOf(cpu)));
