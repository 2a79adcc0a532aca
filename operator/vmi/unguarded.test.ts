import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { DEFAULT_BURST_STRATEGY } from "../../api/cpu-burst.ts";
import { announcedLauncher } from "./announcement.ts";
import { instance } from "./instance.fixture.ts";
import { resolveInterfaces } from "./interfaces.ts";
import { PENDING_POD } from "./pod-facts.fixture.ts";
import { unguardedInterfaces, unguardedProblem } from "./unguarded.ts";

const ALLOWED = { allowUnguardedInterfaces: true };

function router(listed: string) {
  const annotations = { "virtpod.io/unguarded-interfaces": listed };
  const interfaces = [
    { name: "wan", bridge: {} },
    { name: "lan", masquerade: {} },
  ];
  const networks = [
    { name: "wan", pod: {} },
    { name: "lan", pod: {} },
  ];
  return instance({ domain: { devices: { interfaces } }, networks }, { annotations });
}

const problem = (listed: string, policy = ALLOWED) => {
  const vmi = router(listed);
  return unguardedProblem(vmi, resolveInterfaces(vmi.spec), policy);
};

describe("interfaces without the guard", () => {
  it("are those that the annotation lists, and reach the agent as such", () => {
    const vmi = router(" wan ,");
    assert.deepEqual(unguardedInterfaces(vmi), ["wan"]);
    assert.equal(problem(" wan ,"), undefined);
    assert.deepEqual(
      announcedLauncher(vmi, PENDING_POD, DEFAULT_BURST_STRATEGY)?.interfaces.map(
        (one) => "unguarded" in one,
      ),
      [true, false],
    );
  });

  it("need the installation's leave", () => {
    const { reason, message } = problem("wan", { allowUnguardedInterfaces: false }) ?? {};
    assert.equal(reason, "UnguardedInterfaceNotAllowed");
    assert.match(message ?? "", /virtpod\.io\/unguarded-interfaces.* chart's value allowUnguardedInterfaces/);
  });

  it("must be there, and bridged", () => {
    assert.equal(problem("wan,wam")?.reason, "UnguardedInterfaceUnknown");
    assert.match(problem("lan")?.message ?? "", /lan is no interface with the bridge binding/);
  });

  it("are none without the annotation, whatever is allowed", () => {
    assert.deepEqual(unguardedInterfaces(instance()), []);
    for (const listed of ["", ","]) {
      assert.equal(problem(listed, { allowUnguardedInterfaces: false }), undefined);
    }
  });
});
