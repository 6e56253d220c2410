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
  if (n <= exactLimit) {
    // Sum of C(n, k) / 2^n for k <= fewer, in logarithms.
    let logTerm = -n * Math.LN2;
    let sum = Math.exp(logTerm);
    for (let k = 1; k <= fewer; k++) {
      logTerm += Math.log(n - k + 1) - Math.log(k);
      sum += Math.exp(logTerm);
    }
    return Math.min(1, 2 * sum);
  }
  const z = Math.max(0, Math.abs(onlyA - onlyB) - 1) / Math.sqrt(n);
  return Math.min(1, 2 * upperTail(z));
}

/** Upper tail of the standard normal distribution (Abramowitz and Stegun 26.2.17, error below 7.5e-8). */
function upperTail(z: number): number {
  const t = 1 / (1 + 0.2316419 * z);
  const poly = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * poly;
}
