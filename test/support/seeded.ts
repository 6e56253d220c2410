/** Draws that are the same for the same seed. */
export type Draws = {
  /** 0 to below 1. */
  next(): number;
  /** A whole number from 0 to below `count`. */
  below(count: number): number;
};

export function seeded(seed: number): Draws {
  let state = (seed * 7_919 + 1) % 2_147_483_647 || 1;
  const next = (): number => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
  // The first draws of neighbouring seeds are alike.
  for (let i = 0; i < 8; i++) next();
  return { next, below: (count) => Math.floor(next() * count) };
}
