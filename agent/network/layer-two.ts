/**
 * Which frames pass between a guest and a network whose addresses nobody told the pod: a wire with the guest's MAC at
 * its end. The network's own DHCP and IPv6 are meant for the guest; the launcher takes no part. Pure.
 */
import { bridgeHook, inputHook } from "./guard.ts";
import { ACCEPT, type Chain, DROP, dispatch, refused } from "./ruleset.ts";

export interface WiredInterface {
  readonly uplink: string;
  readonly tap: string;
  readonly bridge: string;
  readonly guestMac: string;
  /** The guest may send what it likes: it is a router, or a bridge for others. */
  readonly isUnguarded: boolean;
}

export function layerTwoChains({
  uplink,
  tap,
  bridge,
  guestMac,
  isUnguarded,
}: WiredInterface): readonly Chain[] {
  const own = isUnguarded
    ? []
    : [
        refused(tap, `ether saddr != ${guestMac}`, "foreign-mac"),
        refused(tap, "ether type { 0x8100, 0x88a8, 0x9100 }", "vlan"),
        refused(tap, `arp saddr ether != ${guestMac}`, "foreign-arp"),
      ];
  const toUplink = isUnguarded
    ? { rule: ACCEPT, comment: "guest" }
    : { rule: `ether saddr != ${guestMac} ${DROP}`, comment: "not-the-guest" };
  return [
    bridgeHook("prerouting", [dispatch("iifname", tap, `from-${tap}`)]),
    bridgeHook("postrouting", [dispatch("oifname", uplink, `to-${uplink}`)]),
    { family: "bridge", name: `from-${tap}`, rules: [...own, { rule: ACCEPT, comment: "guest" }] },
    { family: "bridge", name: `to-${uplink}`, rules: [toUplink] },
    inputHook([dispatch("iifname", bridge, `from-${bridge}`)]),
    { family: "ip", name: `from-${bridge}`, rules: [{ rule: DROP, comment: "other" }] },
  ];
}
