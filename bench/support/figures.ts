/** The value below which a share of the values lies; 0 of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
export const median = (values: readonly number[]): number => percentile(values, 0.5);
export const mebibytes = (bytes: number): string => `${Math.round(bytes / 1_048_576)} MiB`;

/** Prints what must hold and whether it does; the process ends with 1 if one of them does not. */
export function judge(lines: readonly { readonly what: string; readonly holds: boolean }[]): void {
  for (const { what, holds } of lines) console.log(`${holds ? 'holds' : 'FAILS'}: ${what}`);
  if (!lines.every(({ holds }) => holds)) process.exitCode = 1;
}
