import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { SUBRESOURCES_GROUP } from "../../api/names.ts";
import type { RunStrategy } from "../../api/virtual-machine.ts";
import { mergePatch } from "../../kube/request.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "../kinds.ts";
import { PANICKED } from "../testing/kubelet.ts";
import { machine, NAMESPACE, World } from "../testing/world.ts";
import { startStopHandlers } from "./start-stop.ts";
import { stateChange } from "./state-change.ts";
import { StatusError } from "./status.ts";

/** A VM of this strategy under the real controllers, at rest. */
async function vmOf(t: TestContext, runStrategy: RunStrategy) {
  const world = new World();
  t.after(() => world.close());
  const vms = world.user.resource(VIRTUAL_MACHINES).namespace(NAMESPACE);
  const vmis = world.user.resource(VIRTUAL_MACHINE_INSTANCES).namespace(NAMESPACE);
  const { spec, ...rest } = machine("tiny");
  const { running: _, ...kept } = spec;
  await vms.create({ ...rest, spec: { ...kept, runStrategy } });
  const said = () => world.vm("tiny")?.status?.printableStatus;
  const is = (status: string) => world.until(status, () => said() === status).then(() => world.quiet());
  await is(runStrategy === "Halted" || runStrategy === "Manual" ? "Stopped" : "Running");
  const handlers = startStopHandlers(world.user);
  const ask = (action: "start" | "stop" | "restart", body?: unknown, name = "tiny") => {
    const path = { group: SUBRESOURCES_GROUP, namespace: NAMESPACE, name, subresource: action };
    return handlers[`virtualmachines/${action}`]?.answer({ ...path, resource: "virtualmachines" }, body);
  };
  const strategy = () => world.vm("tiny")?.spec.runStrategy;
  const uid = () => world.vmi("tiny")?.metadata.uid;
  return { world, vms, vmis, ask, is, strategy, uid };
}

const conflict = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof StatusError);
  assert.equal(error.code, 409);
  assert.match(error.message, message);
  return true;
};

describe("a VM that is asked to start", () => {
  it("runs under Manual, once per request", async (t) => {
    const { ask, is, strategy } = await vmOf(t, "Manual");
    await ask("start");
    await is("Running");
    assert.equal(strategy(), "Manual");
    await assert.rejects(async () => ask("start"), conflict(/is running already/));
  });

  it("doesn't wait for a back-off under Always", async (t) => {
    const { ask, is, world } = await vmOf(t, "Always");
    world.kubelet.end(world.pods[0]?.metadata.uid ?? "", PANICKED);
    await is("CrashLoopBackOff");
    const askedAt = world.clock.now();
    await ask("start");
    await is("Running");
    assert(world.clock.now() - askedAt < 5_000);
  });

  it("nor for what failed to be cleared away", async (t) => {
    const { world } = await vmOf(t, "Always");
    const vm = world.vm("tiny");
    assert(vm !== undefined);
    const failing = { type: "Failure", status: "True", reason: "CrashLoopBackOff" } as const;
    const status = { ...vm.status, printableStatus: "Stopping" as const, conditions: [failing] };
    assert.deepEqual(stateChange("start", { vm: { ...vm, status } }), { requests: [{ action: "Start" }] });
  });

  it("becomes Always where it was Halted, by the word that it was written with", async (t) => {
    const { ask, is, vms, world } = await vmOf(t, "Halted");
    await ask("start", {});
    await is("Running");
    await vms.patch("tiny", mergePatch({ spec: { runStrategy: null, running: false } }));
    await is("Stopped");
    await ask("start");
    await is("Running");
    const { running, runStrategy } = world.vm("tiny")?.spec ?? {};
    assert.deepEqual([running, runStrategy], [true, undefined]);
  });

  it("waits to be unpaused where that is asked for", async (t) => {
    const { ask, world } = await vmOf(t, "Halted");
    await ask("start", { paused: true });
    await world.until("a VMI that starts paused", () => world.vmi("tiny")?.spec.startStrategy === "Paused");
    await world.quiet();
    assert.equal(world.vm("tiny")?.status?.stateChangeRequests, undefined);
  });

  for (const [strategy, why] of [
    ["Always", /is running already/],
    ["Once", /is running already/],
  ] as const) {
    it(`is left alone under ${strategy}`, async (t) => {
      const { ask } = await vmOf(t, strategy);
      await assert.rejects(async () => ask("start"), conflict(why));
    });
  }

  it("is told so where there is none, and what was wrong in the request", async (t) => {
    const { ask } = await vmOf(t, "Halted");
    await assert.rejects(async () => ask("start", {}, "nobody"), {
      code: 404,
      message: /"nobody" not found: see kubectl get vm/,
    });
    await assert.rejects(async () => ask("start", { gracePeriod: 1 }), { code: 400 });
    await assert.rejects(async () => ask("start", { dryRun: ["Some"] }), { code: 400, message: /dryRun/ });
  });

  it("does nothing in a dry run", async (t) => {
    const { ask, world, strategy } = await vmOf(t, "Halted");
    await ask("start", { dryRun: ["All"], paused: true });
    await world.quiet();
    assert.deepEqual([strategy(), world.vm("tiny")?.status?.stateChangeRequests], ["Halted", undefined]);
  });
});

describe("a VM that is asked to stop", () => {
  for (const [before, after] of [
    ["Always", "Halted"],
    ["Once", "Halted"],
    ["RerunOnFailure", "RerunOnFailure"],
  ] as const) {
    it(`is Stopped and ${after} where it was ${before}`, async (t) => {
      const { ask, is, strategy } = await vmOf(t, before);
      await ask("stop", {});
      await is("Stopped");
      assert.equal(strategy(), after);
      await assert.rejects(async () => ask("stop"), conflict(/is not running/));
    });
  }

  it("stays stopped though its status can't be written for a while", async (t) => {
    const { ask, is, world } = await vmOf(t, "RerunOnFailure");
    const body = { kind: "Status", reason: "ServiceUnavailable", message: "no etcd", code: 503 };
    let [isStopping, failed] = [false, 0];
    world.server.intercept = ({ headers, method, path }) => {
      if (method === "DELETE" && path.includes("/virtualmachineinstances/tiny")) isStopping = true;
      const isStatus = method === "PUT" && path.includes("/virtualmachines/tiny/status");
      if (!isStatus || headers["user-agent"] !== "virtpod-operator" || failed === 12) return undefined;
      failed++;
      return { statusCode: 503, body };
    };
    await ask("stop");
    await world.until("deleted", () => isStopping, 20);
    await is("Stopped");
    assert.equal(failed, 12);
    assert.equal(world.podUids.size, 1);
  });

  it("has its launcher pod deleted with the grace period that is asked for, and never with none", async (t) => {
    const { ask, is, world } = await vmOf(t, "Always");
    const [pod] = world.pods;
    await ask("stop", { gracePeriod: 0 });
    const deletion = world.server.requests.find(
      ({ method, path }) => method === "DELETE" && path.endsWith(`/pods/${pod?.metadata.name}`),
    );
    const { gracePeriodSeconds, preconditions } = JSON.parse(deletion?.body ?? "{}");
    assert.deepEqual([gracePeriodSeconds, preconditions], [1, { uid: pod?.metadata.uid }]);
    await is("Stopped");
  });

  it("is told what was wrong in the request", async (t) => {
    const { ask, strategy } = await vmOf(t, "Always");
    for (const gracePeriod of [-1, 1.5, "0"])
      await assert.rejects(async () => ask("stop", { gracePeriod }), { code: 400, message: /grace period/ });
    assert.equal(strategy(), "Always");
  });
});

describe("a VM that is asked to restart", () => {
  for (const strategy of ["Always", "RerunOnFailure", "Once"] as const) {
    it(`has another VMI, and is still ${strategy}`, async (t) => {
      const { ask, world, uid, ...vm } = await vmOf(t, strategy);
      const before = uid();
      await ask("restart", {});
      await world.until("another VMI", () => uid() !== undefined && uid() !== before);
      await vm.is("Running");
      assert.equal(vm.strategy(), strategy);
      assert.equal(world.vm("tiny")?.status?.stateChangeRequests, undefined);
    });
  }

  for (const strategy of ["Always", "RerunOnFailure", "Manual", "Once"] as const) {
    it(`goes no further than its stop where it is then asked to stop, under ${strategy}`, async (t) => {
      const { ask, is, world } = await vmOf(t, strategy);
      if (strategy === "Manual") {
        await ask("start");
        await is("Running");
      }
      world.kubelet.script = { isAway: true };
      await ask("restart");
      await is("Stopping");
      await ask("stop");
      world.kubelet.script = {};
      await is("Stopped");
      assert.equal(world.podUids.size, 1);
      assert.equal(world.vm("tiny")?.status?.stateChangeRequests, undefined);
      await assert.rejects(async () => ask("stop"), conflict(/is not running/));
    });
  }

  it("is told to start instead where it does not run", async (t) => {
    for (const strategy of ["Halted", "Manual"] as const) {
      const { ask } = await vmOf(t, strategy);
      await assert.rejects(async () => ask("restart"), conflict(/start it instead/));
    }
  });
});
