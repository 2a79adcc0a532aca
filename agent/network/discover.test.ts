import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { discoverInterface } from "./discover.ts";
import { NetworkError } from "./errors.ts";
import { type Observed, type ObservedLink, parseObserved } from "./observed.ts";

/** What ip(8) 6.1 printed in a pod with a veth, addresses of both families, an on-link route and a pinned gateway. */
const RECORDED = readFileSync(new URL("./pod.fixture.ndjson", import.meta.url), "utf8");
const OBSERVED = parseObserved(RECORDED);

function withLink(change: Partial<ObservedLink>): Observed {
  return {
    ...OBSERVED,
    links: OBSERVED.links.map((link) => (link.name === "eth0" ? { ...link, ...change } : link)),
  };
}

function code(observed: Observed, name = "eth0", binding: "bridge" | "masquerade" = "bridge"): string {
  try {
    discoverInterface(observed, "uid", name, binding);
  } catch (error) {
    assert.ok(error instanceof NetworkError);
    assert.match(error.message, new RegExp(`pod uid, interface ${name}: `));
    return error.code;
  }
  return "found";
}

test("the pod's interface is found with all that is lost once it is rewired", () => {
  assert.deepEqual(discoverInterface(OBSERVED, "uid", "eth0"), {
    index: 2,
    podInterface: {
      name: "eth0",
      macAddress: "c6:df:5b:71:5a:f5",
      mtu: 1450,
      addresses: ["10.244.0.7/24", "fd00::7/64"],
      routes: [
        { destination: "0.0.0.0/0", gateway: "10.244.0.1" },
        { destination: "10.96.0.0/12", gateway: "10.244.0.1", onLink: true },
      ],
      neighbours: [{ address: "10.244.0.1", macAddress: "ee:ee:ee:ee:ee:ee" }],
    },
  });
});

test("a tap is read with its queues, and as owned", () => {
  const tap = OBSERVED.links.find(({ name }) => name === "tap3");
  assert.deepEqual(tap?.tap, { hasOwner: true, multiQueue: true });
  assert.equal(tap?.isUp, false);
});

test("what can't be bridged is told apart", () => {
  assert.equal(code(OBSERVED), "found");
  assert.equal(code(OBSERVED, "eth1"), "NoSuchInterface");
  assert.equal(code(OBSERVED, "lo"), "LayerThreeInterface");
  assert.equal(code(withLink({ hasArp: false })), "LayerThreeInterface");
  assert.equal(code(withLink({ macAddress: undefined })), "LayerThreeInterface");
  assert.equal(
    code(withLink({ addresses: [{ cidr: "fd00::7/64", isGlobal: true, isAdvertised: false }] })),
    "NoIPv4Address",
  );
});

test("an Ethernet without an address is a wire for the bridge, and nothing to stand behind for masquerade", () => {
  assert.equal(code(OBSERVED, "tap3"), "found");
  assert.equal(code(OBSERVED, "tap3", "masquerade"), "NoIPv4Address");
});

test("masquerade needs an address and no Ethernet, and knows its pod's interface again", () => {
  assert.equal(code(withLink({ hasArp: false, macAddress: undefined }), "eth0", "masquerade"), "found");
  assert.equal(code(OBSERVED, "lo", "masquerade"), "LayerThreeInterface");
  const [first] = OBSERVED.links;
  assert.ok(first);
  const wired = { ...OBSERVED, links: [...OBSERVED.links, { ...first, name: "k6t-eth0" }] };
  assert.equal(code(wired), "StateLost");
  assert.equal(code(wired, "eth0", "masquerade"), "found");
});

test("what ip does not print is refused", () => {
  for (const text of ["", "[]\n[]\n[]\n", `${RECORDED}[]\n`, RECORDED.slice(0, 200)]) {
    assert.throws(() => parseObserved(text), SyntaxError);
  }
});

test("the default routes of both families are told apart, with a gateway and without", () => {
  const routes = [
    { type: "1", dst: "default", gateway: "10.244.0.1", dev: "eth0", table: "254", protocol: "3", flags: [] },
    { type: "1", dst: "default", gateway: "fd00::1", dev: "eth0", protocol: "3", flags: [], pref: "medium" },
    { type: "1", dst: "default", dev: "tap3", protocol: "3", metric: 1024, flags: [], pref: "medium" },
  ];
  const [links, addresses, , neighbours] = RECORDED.split("\n");
  const observed = parseObserved([links, addresses, JSON.stringify(routes), neighbours].join("\n"));
  assert.deepEqual(
    observed.routes.map(({ destination }) => destination),
    ["0.0.0.0/0", "::/0", "::/0"],
  );
});
