import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodInterface } from "../../../api/pod-interface.ts";
import type { AnnouncedMasquerade } from "../../../api/uplink-protocol.ts";
import { planNetwork } from "../plan.ts";

const POD: PodInterface = {
  name: "eth0",
  macAddress: "0a:58:0a:f4:00:07",
  mtu: 1450,
  addresses: ["10.244.1.7/24", "10.244.1.8/24"],
  routes: [{ destination: "0.0.0.0/0", gateway: "10.244.1.1" }],
  neighbours: [],
};

const ANNOUNCED: AnnouncedMasquerade = {
  name: "default",
  binding: "masquerade",
  podInterface: "eth0",
  macAddress: "02:AA:00:00:00:07",
  queues: 2,
  vmNetworkCidr: "10.0.2.0/24",
  ports: [],
};

function plan(announced: Partial<AnnouncedMasquerade> = {}, pod: Partial<PodInterface> = {}) {
  const input = {
    announced: { ...ANNOUNCED, ...announced },
    discovered: { index: 4, podInterface: { ...POD, ...pod } },
  };
  const { interfaces, guard, sysctls } = planNetwork("uid", [input]);
  const [first] = interfaces;
  assert.ok(first);
  return { planned: first, rules: guard.text, sysctls };
}

test("the pod's link stays as it is, and the guest gets a subnet and a gateway of its own", () => {
  const { planned } = plan();
  assert.equal(planned.uplink, undefined);
  assert.equal(planned.placeholder, undefined);
  assert.deepEqual(planned.bridge, {
    name: "k6t-eth0",
    macAddress: "02:00:00:00:00:00",
    address: "10.0.2.1/24",
  });
  assert.deepEqual(planned.attachment.guest, {
    macAddress: "02:aa:00:00:00:07",
    subnet: { address: "10.0.2.2/24", gateway: "10.0.2.1" },
  });
  assert.equal(planned.attachment.bridge.address, "10.0.2.1");
  assert.equal(planned.tap.multiQueue, true);
});

test("all ports of all the pod's addresses lead to the guest when none is listed", () => {
  const { rules } = plan();
  assert.match(rules, /ip daddr \{ 10\.244\.1\.7, 10\.244\.1\.8 \} counter dnat to 10\.0\.2\.2/);
  assert.doesNotMatch(rules, /dport \{/);
});

test("only the listed ports lead to the guest when any is, each protocol for itself", () => {
  const { rules } = plan({
    ports: [
      { protocol: "TCP", port: 443 },
      { protocol: "TCP", port: 80 },
      { protocol: "TCP", port: 443 },
      { protocol: "UDP", port: 53 },
    ],
  });
  const rewritten = rules.split("\n").filter((line) => line.includes("dnat to"));
  assert.equal(rewritten.length, 4, "two protocols, from the network and from the pod itself");
  for (const line of rewritten)
    assert.match(line, /(tcp dport \{ 80, 443 \}|udp dport \{ 53 \}) counter dnat/);
});

test("a pod with IPv6 has the same rules for it, and a subnet of its own for the guest", () => {
  const { planned, rules } = plan(
    { ports: [{ protocol: "TCP", port: 80 }] },
    { addresses: ["10.244.1.7/24", "fd00::7/64"] },
  );
  assert.deepEqual(planned.bridge.addresses6, ["fd10:0:2::1/120", "fe80::1/64"]);
  assert.match(rules, /ip6 daddr \{ fd00::7 \} tcp dport \{ 80 \} counter dnat to fd10:0:2::2/);
  assert.match(rules, /oifname "eth0" ip6 saddr fd10:0:2::2 counter snat to fd00::7/);
  assert.equal(plan().planned.bridge.addresses6, undefined);
});

test("what the guest sends leaves with the pod's first address", () => {
  assert.match(plan().rules, /oifname "eth0" ip saddr 10\.0\.2\.2 counter snat to 10\.244\.1\.7/);
});

test("a subnet that the pod's network or gateway is in is refused, with what to set", () => {
  for (const vmNetworkCidr of ["10.244.1.0/24", "10.0.0.0/8", "10.244.1.4/30"]) {
    assert.throws(() => plan({ vmNetworkCidr }), { code: "SubnetInUse", message: /vmNetworkCIDR/ });
  }
  const routed = {
    addresses: ["192.168.7.9/32"],
    routes: [{ destination: "0.0.0.0/0", gateway: "10.0.2.184" }],
  };
  assert.throws(() => plan({}, routed), { code: "SubnetInUse", message: /10\.0\.2\.184/ });
});

test("a pod without IPv4, a subnet that is none and the gateway's MAC are refused", () => {
  assert.throws(() => plan({}, { addresses: ["fd00::7/64"] }), { code: "NoIPv4Address" });
  assert.throws(() => plan({ vmNetworkCidr: "10.0.2.0/31" }), { code: "InvalidInterface" });
  assert.throws(() => plan({ macAddress: "02:00:00:00:00:00" }), { code: "InvalidInterface" });
});

test("beside a bridged interface only the masqueraded one is routed", () => {
  const { sysctls } = plan();
  const forwarding = sysctls.filter(({ path }) => path.endsWith("/forwarding"));
  assert.deepEqual(
    forwarding.map(({ path, value }) => [path, value]),
    [
      ["net/ipv4/conf/eth0/forwarding", "1"],
      ["net/ipv4/conf/k6t-eth0/forwarding", "1"],
    ],
  );
});
