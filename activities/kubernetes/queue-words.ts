/** What Kueue says of a workload that it does not admit, in words; `impossible`: waiting will not help. */
export function queueWords(message: string): { readonly why: string; readonly impossible: boolean } {
  const most = /insufficient quota for (\S+) in flavor \S+, .*current podset request \(([^)]+)\) > maximum capacity \(([^)]+)\)/.exec(
    message,
  );
  if (most) return { why: `it asks for ${most[2]} ${most[1]}, and all tenants together have ${most[3]}`, impossible: true };
  const short = /insufficient unused quota for (\S+) in flavor \S+, (\S+) more needed/.exec(message);
  if (short) return { why: `${short[2]} more ${short[1]} must become free`, impossible: false };
  return { why: message, impossible: false };
}
