/** A running VM's CPU, changed by the real controllers against an API server in memory. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import type { Domain } from "../api/domain.ts";
import { mergePatch } from "../kube/request.ts";
import { EVENTS } from "../kube/resources.ts";
import { VIRTUAL_MACHINES } from "./kinds.ts";
import { machine, NAMESPACE, World } from "./testing/world.ts";
import { conditionOf, isTrue } from "./vmi/conditions.ts";
import { podCpu } from "./vmi/pod-cpu.ts";

const DOMAIN: Domain = {
  cpu: { cores: 1 },
  devices: {},
  memory: { guest: "128Mi" },
  resources: { limits: { cpu: "500m" } },
};
/** Writes until such a VM runs; see controllers.test.ts. */
const WRITES_TO_RUNNING = 7;

async function running(t: TestContext, dieAfterWrite?: number): Promise<World> {
  const w = new World(dieAfterWrite === undefined ? {} : { dieAfterWrite });
  t.after(() => w.close());
  await w.user.resource(VIRTUAL_MACHINES).create(machine("tiny", { template: { spec: { domain: DOMAIN } } }));
  await w.until("Running", () => w.vm("tiny")?.status?.ready === true);
  await w.quiet();
  return w;
}

const change = (w: World, domain: object) =>
  w.user
    .resource(VIRTUAL_MACHINES)
    .namespace(NAMESPACE)
    .patch("tiny", mergePatch({ spec: { template: { spec: { domain } } } }));
const cpu = (w: World) => (w.pods[0] === undefined ? {} : podCpu(w.pods[0]));
const restart = (w: World) => conditionOf(w.vm("tiny")?.status?.conditions, "RestartRequired");
/** Limit and request of each resize that was asked for. */
const amountsAsked = (w: World) =>
  w.server.requests
    .filter(({ method, path }) => method === "PATCH" && path.includes("/resize"))
    .flatMap(({ body = "[]" }) => JSON.parse(body) as { op: string; value: string }[])
    .flatMap(({ op, value }) => (op === "add" ? [value] : []));

describe("a change of a running VM's CPU", () => {
  it("goes to its VMI and its pod, a write each, and asks for no restart", async (t) => {
    const w = await running(t);
    const before = w.writes.length;
    await change(w, { resources: { limits: { cpu: "250m" }, requests: { cpu: "100m" } } });
    await w.until("resized", () => cpu(w).limit === 250);
    await w.quiet();
    assert.equal(cpu(w).request, 100);
    assert.deepEqual([...w.writes.slice(before)].sort(), [
      "PATCH pods/resize",
      "PATCH virtualmachineinstances",
      "PUT virtualmachines/status",
    ]);
    assert.equal(restart(w), undefined);
    assert.equal(w.vm("tiny")?.status?.observedGeneration, w.vm("tiny")?.metadata.generation);
    assert.equal(w.podUids.size, 1);
  });

  it("waits for an agent that is away, and tells so", async (t) => {
    const w = await running(t);
    w.agent.close();
    await change(w, { resources: { limits: { cpu: "250m" } } });
    const told = () => conditionOf(w.vmi("tiny")?.status?.conditions, "Synchronized");
    await w.until("deferred", () => told()?.reason === "ResizeDeferred");
    assert.match(told()?.message ?? "", /the agent of node .* has not confirmed/);
    assert.equal(cpu(w).limit, 500);
    w.agent.dial(w.operator.agents);
    await w.until("resized", () => cpu(w).limit === 250 && told() === undefined);
    assert.equal(w.writes.filter((write) => write === "PATCH pods/resize").length, 1);
  });

  for (const [what, cpu, asked] of [
    ["taken back", "500m", []],
    ["changed again", "4", ["4000m", "4000m"]],
  ] as const) {
    it(`that is ${what} while the agent is to confirm it is never asked for`, async (t) => {
      const w = await running(t);
      const { confirm } = w.operator;
      const answer = Promise.withResolvers<boolean>();
      let isAsked = false;
      w.operator.confirm = () => {
        isAsked = true;
        return answer.promise;
      };
      await change(w, { resources: { limits: { cpu: "250m" } } });
      await w.until("the agent is asked", () => isAsked);
      await change(w, { resources: { limits: { cpu } } });
      const seen = () => w.operator.caches.vmis.get(`${NAMESPACE}/tiny`)?.spec.domain.resources?.limits?.cpu;
      await w.until("the operator sees it", () => seen() === cpu);
      w.operator.confirm = confirm;
      answer.resolve(true);
      await w.quiet(2);
      assert.deepEqual(amountsAsked(w), asked);
    });
  }

  it("that is refused again and again keeps no other event from being told", async (t) => {
    const w = await running(t);
    w.server.intercept = ({ path }) =>
      path.includes("/resize")
        ? {
            statusCode: 403,
            body: { kind: "Status", reason: "Forbidden", message: "exceeded quota", code: 403 },
          }
        : undefined;
    const isTold = (reason: string) =>
      w.server
        .list(EVENTS)
        .some((event) => event.reason === reason && event.involvedObject.kind === "VirtualMachineInstance");
    await change(w, { resources: { limits: { cpu: "4" } } });
    await w.until("told of the quota", () => isTold("FailedResize"));
    w.agent.tell([...w.podUids][0] ?? "", "running", { paused: { reason: "user" } });
    await w.until("paused", () => isTrue(w.vmi("tiny")?.status?.conditions, "Paused"));
    await w.quiet();
    assert(isTold("PausedByUser"));
  });

  it("of its burst goes to its VMI alone, where the announcement finds it", async (t) => {
    const w = await running(t);
    await change(w, { cpu: { burst: { percent: 10 } } });
    await w.until("the VMI's", () => w.vmi("tiny")?.spec.domain.cpu?.burst?.percent === 10);
    await w.quiet();
    assert.equal(w.writes.includes("PATCH pods/resize"), false);
    assert.equal(restart(w), undefined);
  });

  it("beside another change is made, and the rest waits for a restart", async (t) => {
    const w = await running(t);
    await change(w, { memory: { guest: "256Mi" }, resources: { limits: { cpu: "250m" } } });
    await w.until("resized", () => cpu(w).limit === 250);
    await w.until("RestartRequired", () => restart(w) !== undefined);
    await w.quiet();
    assert.equal(w.vmi("tiny")?.spec.domain.memory?.guest, "128Mi");
  });

  for (let write = 1; write <= 3; write += 1) {
    it(`ends the same with an operator that dies after write ${write} of it`, async (t) => {
      const w = await running(t, WRITES_TO_RUNNING + write);
      await change(w, { resources: { limits: { cpu: "250m" } } });
      await w.until("resized", () => cpu(w).limit === 250 && restart(w) === undefined);
      await w.quiet(2);
      assert.equal(w.vm("tiny")?.status?.printableStatus, "Running");
      assert.equal(w.podUids.size, 1);
    });
  }
});
