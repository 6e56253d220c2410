import { createHmac, timingSafeEqual } from 'node:crypto';
import { type Json, canonicalJson } from '../core/json.ts';

export type Predicted = {
  readonly tenantId: string;
  readonly customizationId: string;
  readonly version: number;
  readonly input: { readonly [field: string]: Json };
};
/** What an id tells to who has the secret: which customization answered, by which version, and whether this was the input. */
export type OpenedPrediction = Pick<Predicted, 'customizationId' | 'version'> & {
  readonly isInput: (input: Predicted['input']) => boolean;
};

const format = 'p1';
/** 16 of the 32 bytes of an HMAC: nobody guesses 128 bits. */
const macBytes = 16;

const mac = (secret: string, ...parts: readonly Json[]): string =>
  createHmac('sha256', secret)
    .update(JSON.stringify(['prediction', ...parts]))
    .digest()
    .subarray(0, macBytes)
    .toString('base64url');
const equal = (a: string, b: string): boolean => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

const inputMac = (secret: string, { tenantId, customizationId, input }: Omit<Predicted, 'version'>): string =>
  mac(secret, 'input', tenantId, customizationId, canonicalJson(input));

/**
 * The id of a prediction is its own proof, so that nothing is stored for the many predictions that nobody comes back to. It holds no text: the
 * input is in it as a keyed digest. The same input asked of the same version has the same id.
 */
export function predictionId(secret: string, predicted: Predicted): string {
  const { tenantId, customizationId, version } = predicted;
  const input = inputMac(secret, predicted);
  return [format, customizationId, version, input, mac(secret, 'id', tenantId, customizationId, version, input)].join('.');
}

/** Null: not an id that this tenant was given, whatever it is instead. */
export function openPredictionId(secret: string, tenantId: string, id: string): OpenedPrediction | null {
  const [named, customizationId = '', versionText, input = '', seal = '', ...more] = id.split('.');
  const version = Number(versionText);
  if (named !== format || more.length > 0 || String(version) !== versionText) return null;
  if (!equal(seal, mac(secret, 'id', tenantId, customizationId, version, input))) return null;
  return {
    customizationId,
    version,
    isInput: (given) => equal(input, inputMac(secret, { tenantId, customizationId, input: given })),
  };
}
