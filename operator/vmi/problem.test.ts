import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { instance } from "./instance.fixture.ts";
import { RUNNING_POD } from "./pod-facts.fixture.ts";
import { problemOf } from "./problem.ts";

const vmi = instance({
  domain: { devices: { interfaces: [{ name: "default" }, { name: "storage" }] } },
  networks: [
    { name: "default", pod: {} },
    { name: "storage", multus: { networkName: "vlan-7" } },
  ],
});

describe("a network that nobody attached to the pod", () => {
  it("is told by its name once the pod's network is made, and not before", () => {
    const problem = problemOf({ vmi, pod: RUNNING_POD });
    assert.equal(problem?.reason, "NetworkNotAttached");
    assert.match(problem.message, /network-status .*storage \(vlan-7\)/);
    assert.equal(problemOf({ vmi, pod: { ...RUNNING_POD, hasSandbox: false } }), undefined);
  });

  it("comes before what the launcher says that had to wait for it", () => {
    const told = { refused: { code: "NotAnnounced", message: "m" } };
    assert.equal(problemOf({ vmi, pod: RUNNING_POD, told })?.reason, "NetworkNotAttached");
    const networks = [{ name: "default/vlan-7", interface: "net1" }];
    assert.equal(problemOf({ vmi, pod: { ...RUNNING_POD, networks }, told })?.reason, "NotAnnounced");
  });

  it("is none of a VMI that asks for the pod's alone", () => {
    assert.equal(problemOf({ vmi: instance(), pod: RUNNING_POD }), undefined);
  });
});
