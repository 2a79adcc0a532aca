/**
 * The nftables rules between guest, launcher and pod network. Pure, stateless: no connection tracking, whose table a
 * guest could fill. Every rule has a comment, by which it is recognised when read back and its counter found.
 */
import { createHash } from "node:crypto";

export const GUARD_TABLE = "virtpod";

export interface GuardedInterface {
  readonly uplink: string;
  readonly tap: string;
  readonly bridge: string;
  readonly bridgeMac: string;
  /** Without prefix length. */
  readonly bridgeAddress: string;
  readonly guestMac: string;
  readonly guestAddress: string;
}

export interface Ruleset {
  /** For `nft -f`: replaces the whole guard in one transaction, so there is no moment without it. */
  readonly text: string;
  /** `family chain comment` of every rule, in their order. */
  readonly keys: readonly string[];
}

interface Rule {
  readonly rule: string;
  readonly comment: string;
}

interface Chain {
  readonly family: "bridge" | "ip";
  readonly name: string;
  readonly hook?: string;
  readonly rules: readonly Rule[];
}

const DROP = "counter drop";
const ACCEPT = "counter accept";

export function guardRules(interfaces: readonly GuardedInterface[]): Ruleset {
  const chains = [
    base("bridge", "prerouting", [
      ...interfaces.map(({ tap }) => dispatch("iifname", tap, `from-${tap}`)),
      ...interfaces.map(({ uplink }) => dispatch("iifname", uplink, `from-${uplink}`)),
    ]),
    base(
      "bridge",
      "postrouting",
      interfaces.map(({ uplink }) => dispatch("oifname", uplink, `to-${uplink}`)),
    ),
    ...interfaces.flatMap((guarded) => [fromGuest(guarded), fromUplink(guarded), toUplink(guarded)]),
    base(
      "ip",
      "input",
      interfaces.map(({ bridge }) => dispatch("iifname", bridge, `from-${bridge}`)),
    ),
    ...interfaces.map(toLauncher),
  ];
  const version = createHash("sha256").update(render(chains)).digest("hex").slice(0, 16);
  const versioned = chains.map((chain) => ({
    ...chain,
    rules: chain.rules.map((rule) => ({ ...rule, comment: `${rule.comment} ${version}` })),
  }));
  return {
    text: render(versioned),
    keys: versioned.flatMap(({ family, name, rules }) =>
      rules.map((rule) => key(family, name, rule.comment)),
    ),
  };
}

function base(family: Chain["family"], hook: string, rules: readonly Rule[]): Chain {
  return { family, name: hook, hook, rules };
}

function dispatch(match: "iifname" | "oifname", link: string, chain: string): Rule {
  return { rule: `${match} "${link}" goto ${chain}`, comment: chain };
}

/** The guest sends from its own MAC and address only, and nothing but IPv4 and ARP. */
function fromGuest(guarded: GuardedInterface): Chain {
  const { guestMac, guestAddress, bridgeAddress, bridgeMac } = guarded;
  return {
    family: "bridge",
    name: `from-${guarded.tap}`,
    rules: [
      { rule: `ether saddr != ${guestMac} ${DROP}`, comment: "foreign-mac" },
      // The kernel takes the tag off before these hooks, and the IPv4 rules below would match what is inside.
      { rule: `ether type { 0x8100, 0x88a8, 0x9100 } ${DROP}`, comment: "vlan" },
      {
        rule:
          `arp htype 1 arp ptype 0x0800 arp hlen 6 arp plen 4 arp saddr ether ${guestMac} ` +
          `arp saddr ip { ${guestAddress}, 0.0.0.0 } ${ACCEPT}`,
        comment: "arp",
      },
      { rule: `ether type arp ${DROP}`, comment: "foreign-arp" },
      {
        rule: `ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 ${ACCEPT}`,
        comment: "dhcp",
      },
      // The guest holds the launcher's address for off-link, so unicasts to it (renewals) carry its gateway's MAC.
      // The packet type must follow, because the frame came in as one for another host.
      {
        rule:
          `ip saddr ${guestAddress} ip daddr ${bridgeAddress} ` +
          `ether daddr set ${bridgeMac} meta pkttype set host ${ACCEPT}`,
        comment: "to-launcher",
      },
      { rule: `ip saddr ${guestAddress} ${ACCEPT}`, comment: "own-address" },
      { rule: `ether type ip ${DROP}`, comment: "foreign-address" },
      { rule: DROP, comment: "other-protocol" },
    ],
  };
}

/** Nobody but the guest sees the launcher's side, and no other DHCP server the guest. */
function fromUplink({ uplink, bridgeAddress, bridgeMac }: GuardedInterface): Chain {
  return {
    family: "bridge",
    name: `from-${uplink}`,
    rules: [
      { rule: `udp dport { 67, 68 } ${DROP}`, comment: "dhcp" },
      { rule: `ether daddr ${bridgeMac} ${DROP}`, comment: "launcher-mac" },
      { rule: `ip daddr ${bridgeAddress} ${DROP}`, comment: "launcher-address" },
      { rule: `arp daddr ip ${bridgeAddress} ${DROP}`, comment: "launcher-arp" },
      // The guest can't send IPv6; router advertisements would make it believe otherwise.
      { rule: `ether type ip6 ${DROP}`, comment: "ipv6" },
    ],
  };
}

/** Only the guest's own frames leave the pod. */
function toUplink({ uplink, guestMac, bridgeAddress }: GuardedInterface): Chain {
  return {
    family: "bridge",
    name: `to-${uplink}`,
    rules: [
      { rule: `ether saddr != ${guestMac} ${DROP}`, comment: "not-the-guest" },
      { rule: `udp dport { 67, 68 } ${DROP}`, comment: "dhcp" },
      { rule: `ip daddr ${bridgeAddress} ${DROP}`, comment: "launcher-address" },
      { rule: `arp daddr ip ${bridgeAddress} ${DROP}`, comment: "launcher-arp" },
    ],
  };
}

/** Of the launcher's namespace the guest reaches DHCP; connections are opened by the launcher only. */
function toLauncher({ bridge, bridgeAddress }: GuardedInterface): Chain {
  return {
    family: "ip",
    name: `from-${bridge}`,
    rules: [
      {
        rule: `ip daddr { 255.255.255.255, ${bridgeAddress} } udp sport 68 udp dport 67 ${ACCEPT}`,
        comment: "dhcp",
      },
      // A segment with SYN and without ACK opens a connection, whatever other flags it carries.
      { rule: `ip daddr ${bridgeAddress} tcp flags & (syn | ack) != syn ${ACCEPT}`, comment: "tcp-reply" },
      { rule: DROP, comment: "other" },
    ],
  };
}

function render(chains: readonly Chain[]): string {
  const families = [...new Set(chains.map(({ family }) => family))];
  return families
    .map((family) => {
      const bodies = chains.filter((chain) => chain.family === family).map(renderChain);
      const table = `table ${family} ${GUARD_TABLE}`;
      // Adding before deleting makes the deletion succeed where there is nothing yet.
      return `add ${table}\ndelete ${table}\n${table} {\n${bodies.join("")}}\n`;
    })
    .join("");
}

function renderChain({ family, name, hook, rules }: Chain): string {
  const priority = family === "bridge" ? "-200" : "0";
  const head =
    hook === undefined ? "" : `    type filter hook ${hook} priority ${priority}; policy accept;\n`;
  const lines = rules.map(({ rule, comment }) => `    ${rule} comment "${comment}"\n`);
  return `  chain ${name} {\n${head}${lines.join("")}  }\n`;
}

function key(family: string, chain: string, comment: string): string {
  return `${family} ${chain} ${comment}`;
}

/** Whether exactly these rules stand, in each chain in this order; tables and chains come in any. */
export function isLoaded(ruleset: Ruleset, loaded: readonly LoadedRule[]): boolean {
  const byChain = (keys: readonly string[]) =>
    keys.toSorted((a, b) => chainOf(a).localeCompare(chainOf(b))).join("\n");
  return byChain(ruleset.keys) === byChain(loaded.map((rule) => rule.key));
}

function chainOf(ruleKey: string): string {
  return ruleKey.split(" ", 2).join(" ");
}

export interface LoadedRule {
  readonly key: string;
  readonly family: string;
  readonly chain: string;
  /** The rule's comment without the ruleset's version: `foreign-mac`. */
  readonly name: string;
  /** Undefined for a rule without a counter. */
  readonly packets: number | undefined;
}

/** Reads `nft --json list ruleset`: the guard's rules in their order. */
export function parseLoadedRules(json: string): readonly LoadedRule[] {
  const parsed: unknown = JSON.parse(json);
  const entries: readonly unknown[] =
    isRecord(parsed) && Array.isArray(parsed["nftables"]) ? parsed["nftables"] : [];
  return entries.flatMap((entry) => {
    const rule = isRecord(entry) ? entry["rule"] : undefined;
    if (!isRecord(rule) || rule["table"] !== GUARD_TABLE) return [];
    const [family, chain, comment] = [rule["family"], rule["chain"], rule["comment"]].map(String);
    if (family === undefined || chain === undefined || comment === undefined) return [];
    const name = comment.slice(0, comment.lastIndexOf(" "));
    return [{ key: key(family, chain, comment), family, chain, name, packets: packetsOf(rule["expr"]) }];
  });
}

function packetsOf(expressions: unknown): number | undefined {
  if (!Array.isArray(expressions)) return undefined;
  for (const expression of expressions) {
    const counter = isRecord(expression) ? expression["counter"] : undefined;
    if (isRecord(counter)) return Number(counter["packets"]);
  }
  return undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
