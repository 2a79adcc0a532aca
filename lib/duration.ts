/** Durations as Go writes them (time.ParseDuration), which Kubernetes' APIs take: `1h30m`, `300s`, `1.5s`. */

const UNIT_MS = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1, us: 1e-3, µs: 1e-3, μs: 1e-3, ns: 1e-6 } as const;
const PART = /(\d+\.?\d*|\.\d+)(h|ms|m|s|us|µs|μs|ns)/y;

/** Milliseconds; undefined for what is no duration, or a negative one. */
export function parseDurationMs(text: string): number | undefined {
  if (text === "0") return 0;
  let totalMs = 0;
  let at = 0;
  while (at < text.length) {
    PART.lastIndex = at;
    const [part = "", count = "", unit = ""] = PART.exec(text) ?? [];
    if (part === "") return undefined;
    totalMs += Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS];
    at += part.length;
  }
  return text === "" ? undefined : totalMs;
}
