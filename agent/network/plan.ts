/** What a wired pod's network looks like: PodInterface × announcement × index → links, addresses, rules. Pure. */
import type { AnnouncedInterface } from "../../api/uplink-protocol.ts";
import type { DiscoveredInterface } from "./discover.ts";
import { planBridge } from "./plan/bridge.ts";
import { planMasquerade } from "./plan/masquerade.ts";
import type { InterfacePlan, NetworkPlan, PlannedSysctl } from "./plan/types.ts";
import { rulesetOf } from "./ruleset.ts";

/** An announced interface together with what was found under its name. */
export interface PlannedInput {
  readonly announced: AnnouncedInterface;
  readonly discovered: DiscoveredInterface;
}

/** @throws NetworkError NoIPv4Address, SubnetInUse, InvalidInterface */
export function planNetwork(podUid: string, inputs: readonly PlannedInput[]): NetworkPlan {
  const interfaces = inputs.map((input, index) => planInterface(podUid, input, index));
  return {
    interfaces,
    guard: rulesetOf(interfaces.flatMap(({ chains }) => chains)),
    sysctls: [...interfaces.flatMap(({ sysctls }) => sysctls), ...BRIDGE_NETFILTER_OFF],
  };
}

function planInterface(
  podUid: string,
  { announced, discovered }: PlannedInput,
  index: number,
): InterfacePlan {
  switch (announced.binding) {
    case "bridge":
      return planBridge(podUid, announced, discovered, index);
    case "masquerade":
      return planMasquerade(podUid, announced, discovered, index);
  }
}

/** Bridged frames stay off the IP hooks, where a single rule of someone else's would track every flow of the guest. */
const BRIDGE_NETFILTER_OFF: readonly PlannedSysctl[] = ["iptables", "ip6tables", "arptables"].map((what) => ({
  path: `net/bridge/bridge-nf-call-${what}`,
  value: "0",
  optional: true,
}));
