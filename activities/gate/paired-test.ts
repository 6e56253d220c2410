import { atMost } from './binomial.ts';

/** Above this many disagreements the exact sum is replaced by the normal approximation with continuity correction. */
const exactLimit = 1_000;

/**
 * McNemar's test, two-sided: the chance of a split at least as uneven as `onlyA` against `onlyB` if both were equally good.
 * Exact binomial for up to 1,000 disagreements. Null when the two never disagree.
 */
export function mcNemar(onlyA: number, onlyB: number): number | null {
  const n = onlyA + onlyB;
  if (n === 0) return null;
  const fewer = Math.min(onlyA, onlyB);
  if (n <= exactLimit) return Math.min(1, 2 * atMost(fewer, n, 0.5));
  const z = Math.max(0, Math.abs(onlyA - onlyB) - 1) / Math.sqrt(n);
  return Math.min(1, 2 * upperTail(z));
}

/** Upper tail of the standard normal distribution (Abramowitz and Stegun 26.2.17, error below 7.5e-8). */
function upperTail(z: number): number {
  const t = 1 / (1 + 0.2316419 * z);
  const poly = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * poly;
}

/** So many differences that all their signs can be tried; above, so many draws are made, and above that the normal approximation does. */
const exactSigns = 14;
const drawnSigns = 2_000;
const draws = 10_000;

/**
 * Sign-flip test of paired differences, two-sided: the chance of a sum at least as far from zero if each difference had either sign with equal
 * chance. Exact for up to 14 of them, by seeded draws up to 2,000 (equal rows give an equal p), else by the normal approximation.
 * Null where nothing differs.
 */
export function signFlip(differences: readonly number[]): number | null {
  const found = differences.filter((difference) => difference !== 0);
  if (found.length === 0) return null;
  const seen = Math.abs(found.reduce((sum, difference) => sum + difference, 0));
  // Rounding must not make a sum that is as far away look nearer.
  const reached = (sum: number): boolean => Math.abs(sum) >= seen - 1e-9;
  if (found.length <= exactSigns) {
    const all = 2 ** found.length;
    let far = 0;
    for (let signs = 0; signs < all; signs++) {
      let sum = 0;
      found.forEach((difference, i) => (sum += signs & (1 << i) ? difference : -difference));
      if (reached(sum)) far += 1;
    }
    return far / all;
  }
  if (found.length > drawnSigns) {
    const deviation = Math.sqrt(found.reduce((sum, difference) => sum + difference * difference, 0));
    return Math.min(1, 2 * upperTail(seen / deviation));
  }
  const next = seededBits();
  let far = 1;
  for (let draw = 0; draw < draws; draw++) {
    let sum = 0;
    for (const difference of found) sum += next() ? difference : -difference;
    if (reached(sum)) far += 1;
  }
  return far / (draws + 1);
}

/** Whether two answerers differ: McNemar where every row is right or wrong, else by sign flips of the credits. */
export function pairedTest(rows: readonly { readonly candidate: number; readonly current: number }[]): number | null {
  const whole = (credit: number): boolean => credit === 0 || credit === 1;
  if (!rows.every(({ candidate, current }) => whole(candidate) && whole(current)))
    return signFlip(rows.map(({ candidate, current }) => candidate - current));
  return mcNemar(
    rows.filter(({ candidate, current }) => candidate > current).length,
    rows.filter(({ candidate, current }) => candidate < current).length,
  );
}

/** The same bits at every call (xorshift32). */
function seededBits(): () => boolean {
  let state = 0x9e3779b9;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state & 0x10000) !== 0;
  };
}
