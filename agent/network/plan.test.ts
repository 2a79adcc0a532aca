import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodInterface } from "../../api/pod-interface.ts";
import { linkDifferences } from "./difference.ts";
import type { Observed } from "./observed.ts";
import { type PlannedInput, planNetwork } from "./plan.ts";
import { isLoaded, parseLoadedRules } from "./ruleset.ts";

function input(name: string, index: number, macAddress?: string): PlannedInput {
  const podInterface: PodInterface = {
    name,
    macAddress: `0a:58:0a:f4:00:0${index}`,
    mtu: 1450,
    addresses: ["fd00::7/64", `10.244.${index}.7/24`],
    routes: [],
    neighbours: [],
  };
  return {
    announced: {
      name: `net-${name}`,
      binding: "bridge",
      podInterface: name,
      queues: index,
      ...(macAddress === undefined ? {} : { macAddress }),
    },
    discovered: { index, podInterface },
  };
}

const PLAN = planNetwork("uid", [input("eth0", 1), input("net1", 2, "52:54:00:AB:CD:EF")]);
const [eth0, net1] = PLAN.interfaces;
assert.ok(eth0 && net1);

test("the same pod is planned the same, another one with other MACs", () => {
  const inputs = [input("eth0", 1), input("net1", 2, "52:54:00:AB:CD:EF")];
  assert.deepEqual(planNetwork("uid", inputs), PLAN);
  const [other] = planNetwork("other", inputs).interfaces;
  assert.notEqual(other?.bridge.macAddress, eth0.bridge.macAddress);
});

test("every MAC that is made up is unicast, local and unlike the others", () => {
  const made = [eth0, net1].flatMap(({ uplink, bridge }) => [uplink?.macAddress ?? "", bridge.macAddress]);
  assert.equal(new Set(made).size, made.length);
  for (const mac of made) assert.equal(Number.parseInt(mac.slice(0, 2), 16) & 3, 2, mac);
});

test("the guest takes the pod's MAC unless it has one of its own, the placeholder always", () => {
  assert.equal(eth0.attachment.guest.macAddress, "0a:58:0a:f4:00:01");
  assert.equal(net1.attachment.guest.macAddress, "52:54:00:ab:cd:ef");
  assert.equal(net1.placeholder?.macAddress, "0a:58:0a:f4:00:02");
});

test("links are named as KubeVirt names them, and each bridge has its own link-local address", () => {
  assert.deepEqual(
    [eth0, net1].map(({ uplink, bridge, tap, placeholder }) => [
      uplink?.name,
      bridge.name,
      tap.name,
      placeholder?.name,
      bridge.address,
    ]),
    [
      ["eth0-nic", "k6t-eth0", "tap0", "eth0", "169.254.75.10/32"],
      ["net1-nic", "k6t-net1", "tap1", "net1", "169.254.75.11/32"],
    ],
  );
  assert.deepEqual([eth0.tap.multiQueue, net1.tap.multiQueue], [false, true]);
});

test("a guest may use the pod's IPv6 addresses and those that its own MAC makes, and none where the pod has none", () => {
  const sources = (podInterface: Partial<PodInterface>) => {
    const { announced, discovered } = input("eth0", 1, "52:54:00:ab:cd:ef");
    const changed = { ...discovered, podInterface: { ...discovered.podInterface, ...podInterface } };
    const { text } = planNetwork("uid", [{ announced, discovered: changed }]).guard;
    return /ip6 saddr ({ [^}]* }) counter accept comment "own-address6/.exec(text)?.[1];
  };
  assert.equal(sources({}), "{ fd00::7, fe80::5054:ff:feab:cdef }");
  assert.equal(
    sources({ addresses: ["10.244.1.7/24", "2001:db8::1/64"], advertised: ["2001:db8::1/64"] }),
    "{ 2001:db8::1, fe80::5054:ff:feab:cdef, 2001:db8::5054:ff:feab:cdef }",
  );
  assert.equal(sources({ addresses: ["10.244.1.7/24"] }), undefined);
});

test("every guard rule counts or leads to one that does, and none tracks connections", () => {
  const rules = PLAN.guard.text.split("\n").filter((line) => line.includes("comment"));
  assert.equal(rules.length, PLAN.guard.keys.length);
  for (const rule of rules) assert.match(rule, / counter (drop|accept|goto) | goto | log /);
  assert.doesNotMatch(PLAN.guard.text, /\bct\b/);
});

test("a guard is told from another, from none and from one out of order", () => {
  const loaded = (keys: readonly string[]) =>
    parseLoadedRules(
      JSON.stringify({
        nftables: [
          { metainfo: {} },
          ...keys.map((key) => {
            const [family, chain, ...comment] = key.split(" ");
            const expr = [{ counter: { packets: 3, bytes: 9 } }, { drop: null }];
            return { rule: { family, table: "virtpod", chain, comment: comment.join(" "), expr } };
          }),
        ],
      }),
    );
  const { keys } = PLAN.guard;
  assert.ok(isLoaded(PLAN.guard, loaded(keys)));
  assert.equal(loaded(keys)[0]?.packets, 3);
  assert.ok(!isLoaded(PLAN.guard, []));
  assert.ok(!isLoaded(PLAN.guard, loaded(keys.slice(1))));
  const swapped = [...keys];
  const at = keys.findIndex((key) => key.startsWith("bridge from-tap0"));
  swapped.splice(at, 2, ...[keys[at + 1], keys[at]].filter((key) => key !== undefined));
  assert.ok(!isLoaded(PLAN.guard, loaded(swapped)));
  assert.ok(
    !isLoaded(PLAN.guard, loaded(planNetwork("uid", [input("eth0", 1), input("net1", 2)]).guard.keys)),
  );
});

const UNTOUCHED: Observed = {
  links: [
    {
      index: 1,
      name: "eth0",
      macAddress: "0a:58:0a:f4:00:01",
      mtu: 1450,
      isUp: true,
      isLoopback: false,
      hasArp: true,
      kind: "veth",
      master: undefined,
      addressGenerationOff: false,
      learning: undefined,
      proxyArp: undefined,
      tap: undefined,
      addresses: [{ cidr: "10.244.1.7/24", isGlobal: true, isAdvertised: false }],
    },
  ],
  routes: [],
  neighbours: [],
};

test("of a fresh pod, every link has its IPv6 address generation off before it comes up", () => {
  const commands = linkDifferences(UNTOUCHED, eth0).flatMap((difference) => difference.commands);
  for (const link of ["eth0-nic", "k6t-eth0", "tap0"]) {
    const off = commands.indexOf(`link set dev ${link} addrgenmode none`);
    const up = commands.indexOf(`link set dev ${link} up`);
    assert.ok(off >= 0 && off < up, link);
  }
  assert.ok(!commands.includes("link set dev eth0 up"), "the placeholder stays down");
});

test("the local route that comes with the placeholder's address goes at once", () => {
  const commands = linkDifferences(UNTOUCHED, eth0).flatMap((difference) => difference.commands);
  const added = commands.indexOf("address add 10.244.1.7/24 dev eth0");
  assert.equal(commands[added + 1], "route del local 10.244.1.7 dev eth0 table local");
});

test("a pod whose interface is gone is not wired", () => {
  assert.throws(() => linkDifferences({ ...UNTOUCHED, links: [] }, eth0), { code: "NoSuchInterface" });
});
