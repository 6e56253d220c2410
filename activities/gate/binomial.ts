/** The chance of at most `most` hits in `tries`, each with the same `chance` (0 < chance < 1): the sum of its terms, in logarithms. */
export function atMost(most: number, tries: number, chance: number): number {
  let logTerm = tries * Math.log1p(-chance);
  let sum = Math.exp(logTerm);
  for (let hits = 1; hits <= most; hits++) {
    logTerm += Math.log(tries - hits + 1) - Math.log(hits) + Math.log(chance) - Math.log1p(-chance);
    sum += Math.exp(logTerm);
  }
  return Math.min(1, sum);
}
