/** What `ip -json -statistics link show` counts of each link. Pure. */
import type { Traffic } from "../../api/network-path.ts";

export interface LinkStatistics {
  readonly received: Traffic;
  readonly sent: Traffic;
}

/** By the link's number. @throws SyntaxError when the text is no JSON */
export function parseStatistics(text: string): ReadonlyMap<number, LinkStatistics> {
  const links: unknown = JSON.parse(text);
  if (!Array.isArray(links)) throw new SyntaxError("ip printed no list of links");
  return new Map(
    links.map((link: Readonly<Record<string, unknown>>) => {
      const { rx, tx } = (link["stats64"] ?? {}) as Readonly<Record<string, unknown>>;
      return [Number(link["ifindex"]), { received: traffic(rx), sent: traffic(tx) }];
    }),
  );
}

function traffic(counters: unknown): Traffic {
  const of = (name: string): number => Number((counters as Readonly<Record<string, unknown>>)?.[name] ?? 0);
  return { bytes: of("bytes"), packets: of("packets"), dropped: of("dropped") };
}
