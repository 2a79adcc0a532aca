/** Looks at a wired pod's network: which links a guest's frames pass, how many did, and what the guard dropped. */
import type { InterfacePath, PathLink, Traffic, WiredPath } from "../../api/network-path.ts";
import { readGuard, readNetwork, readStatistics } from "./apply.ts";
import { NetworkError } from "./errors.ts";
import { openNamespace } from "./namespace.ts";
import type { Observed } from "./observed.ts";
import type { InterfacePlan } from "./plan/types.ts";
import type { LoadedRule } from "./ruleset.ts";
import type { LinkStatistics } from "./statistics.ts";
import type { WireOptions } from "./types.ts";
import { differencesFrom, recallPlan } from "./wire.ts";

/**
 * Changes nothing, and may be called at any time beside the wiring.
 * @throws NetworkError NotWired
 */
export async function inspectNetwork(options: WireOptions): Promise<WiredPath> {
  const { podUid, signal } = options;
  await using namespace = await openNamespace(options.netns, options.hostNetns, podUid);
  const [observed, statistics, rules] = await Promise.all([
    readNetwork(namespace, signal),
    readStatistics(namespace, signal),
    readGuard(namespace, signal),
  ]);
  const plan = await recallPlan(options, namespace, observed);
  if (plan === undefined)
    throw new NetworkError("NotWired", `pod ${podUid}: its network has not been made yet`);
  const bindings = new Map(options.interfaces.map(({ name, binding }) => [name, binding]));
  return {
    interfaces: plan.interfaces.map((planned) => ({
      name: planned.attachment.name,
      binding: bindings.get(planned.attachment.name) ?? "bridge",
      guestMacAddress: planned.attachment.guest.macAddress,
      links: pathOf(planned, observed, statistics),
      dropped: droppedOn(planned, rules),
    })),
    differences: await differencesFrom(plan, namespace, observed, signal),
  };
}

/** From the guest outwards. A link that is missing is left out here; the differences tell of it. */
function pathOf(
  { podLink, attachment: { tap, bridge } }: InterfacePlan,
  observed: Observed,
  statistics: ReadonlyMap<number, LinkStatistics>,
): readonly PathLink[] {
  const link = (
    role: PathLink["role"],
    isIt: (index: number, name: string) => boolean,
  ): readonly PathLink[] => {
    const found = observed.links.find(({ index, name }) => isIt(index, name));
    if (found === undefined) return [];
    const { received = NOTHING, sent = NOTHING } = statistics.get(found.index) ?? {};
    // A tap receives what the guest sends; the others send it on.
    const [fromGuest, toGuest] = role === "podInterface" ? [sent, received] : [received, sent];
    return [
      {
        role,
        name: found.name,
        macAddress: found.macAddress ?? "",
        mtu: found.mtu,
        isUp: found.isUp,
        addresses: found.addresses.map(({ cidr }) => cidr),
        fromGuest,
        toGuest,
      },
    ];
  };
  return [
    ...link("tap", (_, name) => name === tap.name),
    ...link("bridge", (_, name) => name === bridge.name),
    ...link("podInterface", (index) => index === podLink),
  ];
}

const NOTHING: Traffic = { bytes: 0, packets: 0, dropped: 0 };

function droppedOn({ chains }: InterfacePlan, rules: readonly LoadedRule[]): InterfacePath["dropped"] {
  const own = new Set(chains.filter(({ hook }) => hook === undefined).map(({ name }) => name));
  return rules
    .filter(({ chain, drops }) => drops && own.has(chain))
    .map(({ chain, name, packets = 0, bytes = 0 }) => ({ chain, rule: name, packets, bytes }));
}
