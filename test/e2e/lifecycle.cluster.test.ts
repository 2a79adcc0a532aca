/** Run strategies, stopping, and what a VM's spec becomes in its pod and its guest. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { CONDITION_UNPAUSED } from "../../api/names.ts";
import { mergePatch } from "../../kube/request.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import { kubeconfigPath, untilGone, untilStarted } from "../harness/cluster.ts";
import { capture } from "../harness/command.ts";
import { ask, condition, Guests, tiny } from "../harness/guest.ts";
import { isConsoleLine } from "../harness/log.ts";

const STATUS_MS = 90_000;
/** An end without grace, on a busy machine: the default grace period alone is longer. */
const NO_GRACE_MS = 20_000;

describe("the life of a VM", { concurrency: 3 }, () => {
  let guests: Guests;
  before(async () => {
    guests = await Guests.open("lifecycle");
  });
  after(() => guests.close());

  const change = (name: string, spec: object) =>
    guests.resource(VIRTUAL_MACHINES).patch(name, mergePatch({ spec }));
  const untilStopped = async (name: string) => {
    const { namespace } = guests;
    await untilGone(guests.client, VIRTUAL_MACHINE_INSTANCES, { namespace, name, timeoutMs: STATUS_MS });
    const vm = await guests.untilStatus(name, "Stopped", STATUS_MS);
    assert.deepEqual([vm.status?.ready, vm.status?.created], [false, false]);
  };

  it("follows its run strategy: Halted has none, Always starts, Halted stops", async () => {
    await guests.create("strategy", { vm: { runStrategy: "Halted" } });
    const vm = await guests.untilStatus("strategy", "Stopped", STATUS_MS);
    assert.equal(condition(vm, "Ready")?.reason, "VMINotExists");
    await change("strategy", { runStrategy: "Always" });
    await guests.untilStatus("strategy", "Running", STATUS_MS);
    await change("strategy", { runStrategy: "Halted" });
    await untilStopped("strategy");
    await guests.remove("strategy");
  });

  it("follows `running`, and starts a guest again that powers itself off", async () => {
    await guests.create("running", { vm: { running: true } });
    const { pod } = await guests.answering("running");
    await guests.type("running", "poweroff");
    await guests.untilVmi(
      "running",
      "another incarnation that runs",
      STATUS_MS,
      ({ metadata, status }) =>
        metadata.uid !== pod.metadata.labels?.["kubevirt.io/created-by"] && status?.phase === "Running",
    );
    const vm = await guests.untilStatus("running", "Running", STATUS_MS);
    assert.equal(vm.status?.startFailure, undefined);
    await change("running", { running: false });
    await untilStopped("running");
    await guests.remove("running");
  });

  it("starts paused when its startStrategy says so, without a step of the guest, and can be deleted", async () => {
    await guests.create("paused", { spec: { startStrategy: "Paused" } });
    const vm = await guests.untilStatus("paused", "Paused", STATUS_MS);
    assert.equal(vm.status?.ready, false);
    assert.equal(condition(vm, "Paused")?.type, "Paused");
    const vmi = await guests.resource(VIRTUAL_MACHINE_INSTANCES).get("paused");
    assert.equal(vmi.status?.phase, "Running");
    // Its readiness gate keeps Services from it.
    const where = { namespace: guests.namespace, name: (await guests.pod("paused")).metadata.name };
    const started = await untilStarted(guests.client, where, STATUS_MS);
    assert.notEqual(condition(started, CONDITION_UNPAUSED)?.status, "True");
    assert.equal(condition(started, "Ready")?.status, "False");
    // Meanwhile another guest boots, and the paused one has not printed a line.
    await guests.create("unpaused");
    await guests.answering("unpaused");
    const env = { ...process.env, KUBECONFIG: kubeconfigPath() };
    const lines = capture("kubectl", ["logs", where.name, "-n", where.namespace], env).split("\n");
    assert.deepEqual(
      lines.filter((line) => line !== "" && isConsoleLine(line)),
      [],
    );
    await Promise.all([guests.remove("paused"), guests.remove("unpaused")]);
  });

  it("with a grace period of 0 is destroyed at once, even a guest that ignores the power button", async () => {
    const kernelArgs = "console=ttyS0 virtpod.noacpi=1";
    await guests.create("graceless", { kernelArgs, spec: { terminationGracePeriodSeconds: 0 } });
    await guests.answering("graceless");
    const elapsedMs = await guests.remove("graceless");
    assert.ok(elapsedMs < NO_GRACE_MS, `it took ${elapsedMs} ms`);
  });

  it("that ignores the power button is destroyed at its deadline, and its VMI says Failed", async () => {
    const kernelArgs = "console=ttyS0 virtpod.noacpi=1";
    await guests.create("stubborn", { kernelArgs, spec: { terminationGracePeriodSeconds: 4 } });
    await guests.answering("stubborn");
    const ended = guests.untilVmi(
      "stubborn",
      "the phase Failed",
      STATUS_MS,
      ({ status }) => status?.phase === "Failed",
    );
    const startedAt = performance.now();
    await guests.resource(VIRTUAL_MACHINES).delete("stubborn");
    const vmi = await ended;
    const elapsedMs = performance.now() - startedAt;
    assert.ok(elapsedMs >= 4_000 && elapsedMs < 4_000 + NO_GRACE_MS, `it took ${elapsedMs} ms`);
    assert.match(condition(vmi, "Ready")?.message ?? "", /did not power off within its grace period/);
    const { namespace } = guests;
    await untilGone(guests.client, VIRTUAL_MACHINES, { namespace, name: "stubborn", timeoutMs: STATUS_MS });
  });

  it("may be a VMI's alone: it runs once, ends as the guest ends, and a VM of its name leaves it alone", async () => {
    const { namespace } = guests;
    const vmis = guests.resource(VIRTUAL_MACHINE_INSTANCES);
    await vmis.create({ metadata: { name: "alone" }, spec: tiny("alone").spec.template.spec });
    await guests.answering("alone");
    await guests.create("alone");
    await guests.untilVm(
      "alone",
      "a condition that names the stranger",
      STATUS_MS,
      (vm) => condition(vm, "Failure")?.reason === "InstanceNotOwned",
    );
    await guests.resource(VIRTUAL_MACHINES).delete("alone");
    await untilGone(guests.client, VIRTUAL_MACHINES, { namespace, name: "alone", timeoutMs: STATUS_MS });
    await guests.type("alone", "poweroff");
    const vmi = await guests.untilVmi(
      "alone",
      "the phase Succeeded",
      STATUS_MS,
      ({ status }) => status?.phase === "Succeeded",
    );
    assert.match(condition(vmi, "Ready")?.message ?? "", /the guest powered off by itself/);
    await vmis.delete("alone");
    await untilGone(guests.client, VIRTUAL_MACHINE_INSTANCES, {
      namespace,
      name: "alone",
      timeoutMs: STATUS_MS,
    });
  });

  it("gives its guest its host name, and its pod its labels and resources", async () => {
    await guests.create("described", {
      labels: { app: "described", tier: "test" },
      spec: { hostname: "chosen" },
      domain: {
        cpu: { cores: 2 },
        resources: { requests: { cpu: "150m", memory: "64Mi" }, limits: { cpu: "1", memory: "256Mi" } },
      },
    });
    const { pod, address } = await guests.answering("described");
    assert.equal((await ask<{ hostname: string }>(address, "/")).hostname, "chosen");
    assert.equal(pod.metadata.labels?.["app"], "described");
    assert.equal(pod.metadata.labels?.["tier"], "test");
    assert.equal(pod.spec.hostname, "chosen");
    const { requests, limits } = pod.spec.containers[0]?.resources ?? {};
    assert.equal(requests?.["cpu"], "150m");
    assert.equal(limits?.["cpu"], "1");
    const mebibytes = (quantity: string | undefined) => Number(/^(\d+)Mi$/.exec(quantity ?? "")?.[1]);
    // Both carry the same overhead of the machine itself on top of what was asked for.
    const overhead = mebibytes(requests?.["memory"]) - 64;
    assert.ok(overhead > 0, JSON.stringify(requests));
    assert.equal(mebibytes(limits?.["memory"]) - 256, overhead);
    await guests.remove("described");
  });

  it("reaches another VM by its address", async () => {
    await Promise.all([guests.create("here"), guests.create("there")]);
    const [here, there] = await Promise.all([guests.answering("here"), guests.answering("there")]);
    const request = `printf 'GET /uptime HTTP/1.0\\r\\n\\r\\n' | nc ${there.address} 80`;
    await guests.type("here", request, /"uptimeSeconds":\s*[\d.]+/);
    assert.notEqual(here.address, there.address);
    await Promise.all([guests.remove("here"), guests.remove("there")]);
  });
});
