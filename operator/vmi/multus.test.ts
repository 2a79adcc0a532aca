import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  ANNOTATION_DEFAULT_NETWORK,
  ANNOTATION_NETWORKS,
  networkAnnotations,
  parseNetworkStatus,
  podInterfaceOf,
  toldInterfaceOf,
} from "./multus.ts";

const POD = { name: "default", pod: {} };
const STORAGE = { name: "storage", multus: { networkName: "vlan-7" } };
const OTHER = { name: "other", multus: { networkName: "infra/vlan-8" } };
const STAND_IN = { name: "default", multus: { networkName: "infra/main", default: true } };

describe("the networks of a launcher pod", () => {
  it("are asked for by name, namespace, interface and the guest's MAC, the pod's own not at all", () => {
    const annotations = networkAnnotations(
      [POD, STORAGE, OTHER],
      new Map([["storage", "02:00:00:00:00:01"]]),
      "team",
    );
    assert.deepEqual(Object.keys(annotations), [ANNOTATION_NETWORKS]);
    assert.deepEqual(JSON.parse(annotations[ANNOTATION_NETWORKS] ?? ""), [
      { name: "vlan-7", namespace: "team", interface: podInterfaceOf(STORAGE), mac: "02:00:00:00:00:01" },
      { name: "vlan-8", namespace: "infra", interface: podInterfaceOf(OTHER) },
    ]);
    assert.deepEqual(networkAnnotations([POD], new Map(), "team"), {});
  });

  it("have one that stands in for the cluster's, on the pod's first interface", () => {
    assert.equal(podInterfaceOf(STAND_IN), "eth0");
    assert.deepEqual(networkAnnotations([STAND_IN], new Map(), "team"), {
      [ANNOTATION_DEFAULT_NETWORK]: "infra/main",
    });
    assert.equal(toldInterfaceOf(STAND_IN, [], "team"), "eth0");
  });

  it("get names that Linux takes, each its own", () => {
    const names = [STORAGE, OTHER].map(podInterfaceOf);
    for (const name of names) assert.match(name, /^pod[0-9a-f]{11}$/);
    assert.equal(new Set(names).size, 2);
  });

  it("are called what the pod's annotation says, asked for or not", () => {
    const told = parseNetworkStatus(
      JSON.stringify([
        { name: "cbr0", interface: "eth0", default: true, ips: ["10.244.0.7"] },
        { name: "team/vlan-7", interface: "net1" },
        { name: "infra/vlan-8", interface: podInterfaceOf(OTHER) },
      ]),
    );
    assert.ok(told);
    assert.equal(toldInterfaceOf(STORAGE, told, "team"), "net1");
    assert.equal(toldInterfaceOf(STORAGE, told, "another"), undefined);
    assert.equal(toldInterfaceOf(OTHER, told, "team"), podInterfaceOf(OTHER));
    assert.equal(toldInterfaceOf(POD, told, "team"), "eth0");
  });

  it("are unknown where the annotation is none, and bad entries count for nothing", () => {
    for (const annotation of [undefined, "", "{", "{}", "7"]) {
      assert.equal(parseNetworkStatus(annotation), undefined);
    }
    const entries = [null, 7, {}, { name: "a" }, { name: "a", interface: "../x" }, { interface: "net1" }];
    assert.deepEqual(parseNetworkStatus(JSON.stringify(entries)), []);
  });
});
