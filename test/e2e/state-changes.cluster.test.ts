/** Run strategies, and starts, stops, restarts and pauses that people ask for, with real guests. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ConflictError, ignoreNotFound } from "../../kube/errors.ts";
import { PODS } from "../../kube/resources.ts";
import { VIRTUAL_MACHINE_INSTANCES } from "../../operator/kinds.ts";
import { conditionOf } from "../../operator/vmi/conditions.ts";
import { kubeconfigPath, launcherPods, until, untilGone, untilStarted } from "../harness/cluster.ts";
import { capture } from "../harness/command.ts";
import { eventually } from "../harness/eventually.ts";
import { ask, condition, Guests, knock, onKnock, uptimeSeconds } from "../harness/guest.ts";

/** A kubelet may take half a minute for a pod that it could not read the moment that it was bound (403). */
const STATUS_MS = 90_000;
/** A guest tells hundredths of a second, and a busy one counts late: so much later is no other boot. */
const UPTIME_ERROR_MS = 1_000;

describe("a virtual machine whose state is changed", { concurrency: 3 }, () => {
  let guests: Guests;

  before(async () => {
    guests = await Guests.open("state-changes");
  });
  after(() => guests.close());

  const virtpod = (...args: readonly string[]) =>
    capture("node", ["cli/main.ts", "-n", guests.namespace, ...args], {
      ...process.env,
      KUBECONFIG: kubeconfigPath(),
    });
  const is = (name: string, status: string) => guests.untilStatus(name, status, STATUS_MS);
  /** That the guest has ended is told a moment before its pod has. */
  const cleared = (name: string) =>
    untilGone(guests.client, VIRTUAL_MACHINE_INSTANCES, {
      namespace: guests.namespace,
      name,
      timeoutMs: STATUS_MS,
    });
  const vmi = (name: string) => guests.resource(VIRTUAL_MACHINE_INSTANCES).get(name).catch(ignoreNotFound);

  describe("under Manual", { concurrency: 1 }, () => {
    it("runs when it is told to, and its finished instance is left to be looked at", async () => {
      await guests.create("manual", { vm: { runStrategy: "Manual" } });
      await is("manual", "Stopped");
      assert.equal(await vmi("manual"), undefined);
      assert.equal(virtpod("start", "manual"), "VM manual was scheduled to start\n");
      await is("manual", "Running");
      await guests.answering("manual");
      assert.throws(() => virtpod("start", "manual"), /is running already/);
      await guests.type("manual", "poweroff");
      await is("manual", "Stopped");
      const finished = await vmi("manual");
      assert.equal(finished?.status?.phase, "Succeeded");
      virtpod("start", "manual");
      await is("manual", "Running");
      assert.notEqual((await vmi("manual"))?.metadata.uid, finished?.metadata.uid);
    });

    it("is held still and goes on where it was", async () => {
      const { address } = await guests.answering("manual");
      const before = await uptimeSeconds(address);
      virtpod("pause", "manual");
      await is("manual", "Paused");
      await assert.rejects(ask(address, "/uptime", 2_000));
      virtpod("unpause", "manual");
      await is("manual", "Running");
      const uptime = await uptimeSeconds(address);
      assert.ok(uptime > before, `the guest's uptime was ${before} s and is ${uptime} s`);
    });

    for (const word of ["soft-reboot", "reset"]) {
      it(`boots anew in the same pod after ${word}`, async () => {
        const { pod, address } = await guests.answering("manual");
        const before = await bootTime(address);
        virtpod(word, "manual");
        await rebooted(address, before);
        assert.equal((await guests.pod("manual")).metadata.uid, pod.metadata.uid);
        await is("manual", "Running");
      });
    }

    it("has another pod after a restart, and none after a stop", async () => {
      const { pod } = await guests.answering("manual");
      virtpod("restart", "manual");
      const { uid } = pod.metadata;
      await guests.untilVm("manual", "another instance", STATUS_MS, ({ status }) => status?.ready === false);
      await is("manual", "Running");
      assert.notEqual((await guests.pod("manual")).metadata.uid, uid);
      await guests.answering("manual");
      assert.equal(virtpod("stop", "manual"), "VM manual was scheduled to stop\n");
      await is("manual", "Stopped");
      await cleared("manual");
      assert.throws(() => virtpod("stop", "manual"), /is not running/);
      assert.throws(() => virtpod("restart", "manual"), /start it instead/);
      await guests.remove("manual");
    });
  });

  it("under RerunOnFailure is started again after a panic, and not after a power-off", async () => {
    await guests.create("rerun", { vm: { runStrategy: "RerunOnFailure" } });
    const { address } = await guests.answering("rerun");
    await guests.type("rerun", onKnock("panic"));
    await knock(address);
    await is("rerun", "CrashLoopBackOff");
    await is("rerun", "Running");
    await guests.answering("rerun");
    await guests.type("rerun", "poweroff");
    const { status } = await guests.untilVm("rerun", "Stopped without an instance", STATUS_MS, (vm) => {
      return vm.status?.printableStatus === "Stopped" && vm.status.created === false;
    });
    assert.match(
      conditionOf(status?.conditions, "Completed")?.message ?? "",
      /has powered off.*virtpod start/,
    );
    virtpod("start", "rerun");
    await is("rerun", "Running");
    assert.equal(conditionOf((await is("rerun", "Running")).status?.conditions, "Completed"), undefined);
    await guests.remove("rerun");
  });

  it("under Once is started a single time", async () => {
    await guests.create("once", { vm: { runStrategy: "Once" } });
    await guests.answering("once");
    await guests.type("once", "poweroff");
    await is("once", "Stopped");
    assert.equal((await vmi("once"))?.status?.phase, "Succeeded");
    assert.throws(() => virtpod("start", "once"), /run strategy Once/);
    await guests.remove("once");
  });

  describe("that was Halted", { concurrency: 1 }, () => {
    it("is started paused, and let go", async () => {
      await guests.create("paused", { vm: { runStrategy: "Halted" } });
      await is("paused", "Stopped");
      assert.match(virtpod("start", "--dry-run", "paused"), /dry run/);
      virtpod("start", "--paused", "paused");
      await is("paused", "Paused");
      const { metadata } = await guests.pod("paused");
      const where = { namespace: guests.namespace, name: metadata.name };
      const started = await untilStarted(guests.client, where, STATUS_MS);
      assert.equal(condition(started, "Ready")?.status, "False");
      virtpod("unpause", "paused");
      await is("paused", "Running");
      const { pod } = await guests.answering("paused");
      await until(guests.client, PODS, {
        namespace: guests.namespace,
        name: pod.metadata.name,
        what: "a ready pod",
        timeoutMs: STATUS_MS,
        when: (seen) => seen !== undefined && condition(seen, "Ready")?.status === "True",
      });
    });

    it("is gone a second after stop --force", async () => {
      const before = await guests.pod("paused");
      virtpod("stop", "--force", "paused");
      await is("paused", "Stopped");
      await cleared("paused");
      assert.ok(before.metadata.uid !== undefined);
      await guests.remove("paused");
    });
  });

  it("does as the last word was, when two start and stop it at once", async () => {
    await guests.create("fought", {
      vm: { runStrategy: "Manual" },
      spec: { terminationGracePeriodSeconds: 1 },
    });
    await is("fought", "Stopped");
    const wish = async (verb: "start" | "stop") => {
      const path = `/apis/subresources.kubevirt.io/v1/namespaces/${guests.namespace}/virtualmachines/fought/${verb}`;
      await guests.client
        .requestText({ method: "PUT", path, body: {}, action: `${verb} fought` })
        .catch((error: unknown) => assert(error instanceof ConflictError, String(error)));
    };
    // Each may be refused, and none may be lost or done twice.
    for (let round = 0; round < 4; round++) {
      await Promise.all([wish("start"), wish("stop"), wish("start"), wish("stop")]);
    }
    await wish("start");
    const running = await guests.untilVm("fought", "rest", STATUS_MS, ({ status }) => {
      return status?.printableStatus === "Running" && status.stateChangeRequests === undefined;
    });
    assert.equal(running.status?.created, true);
    await guests.pod("fought");
    await wish("stop");
    await is("fought", "Stopped");
    await cleared("fought");
    assert.equal((await launcherPods(guests.client, guests.namespace, "fought")).length, 0);
    await guests.remove("fought");
  });

  it("says which machine there is not", () => {
    assert.throws(() => virtpod("start", "nobody"), /virtualmachines.kubevirt.io "nobody" not found/);
    assert.throws(() => virtpod("pause", "nobody"), /virtualmachineinstances.kubevirt.io "nobody" not found/);
  });
});

/** When the guest's clock began, in milliseconds since the epoch: then at the latest. */
async function bootTime(address: string): Promise<number> {
  return Date.now() - (await uptimeSeconds(address)) * 1000;
}

/** Its web server is away meanwhile. */
function rebooted(address: string, before: number): Promise<void> {
  return eventually(async () => {
    const askedAt = Date.now();
    const { uptimeSeconds } = await ask<{ uptimeSeconds: number }>(address, "/uptime", 5_000);
    const isNew = askedAt - uptimeSeconds * 1000 > before + UPTIME_ERROR_MS;
    if (!isNew)
      throw new Error(`the guest at ${address} does not boot anew: it is up for ${uptimeSeconds} s`);
  }, STATUS_MS);
}
