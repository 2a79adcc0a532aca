/** Bad input that no schema can see: each ends in a status that says what to do, and can be deleted at once. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import { type KubeObject, describe as kind } from "../../kube/objects.ts";
import { mergePatch } from "../../kube/request.ts";
import { makeNamespace, removeNamespace, until } from "../harness/cluster.ts";
import { condition, Guests } from "../harness/guest.ts";

interface ResourceQuota extends KubeObject {
  readonly spec: { readonly hard: Readonly<Record<string, string>> };
  readonly status?: { readonly hard?: Readonly<Record<string, string>> };
}
const RESOURCE_QUOTAS = kind<ResourceQuota>({
  group: "",
  version: "v1",
  plural: "resourcequotas",
  kind: "ResourceQuota",
  namespaced: true,
});

/** Nothing serves this name, so a pull fails at once and no pull ever leaves the machine. */
const MISSING_IMAGE = "localhost/virtpod/missing:none";
const GUEST_IMAGE = "localhost/virtpod/virtpod-guest-tiny:dev";

const STATUS_MS = 90_000;

const bootDisk = (containerDisk: { image: string; path?: string; imagePullPolicy?: "Never" }) => ({
  domain: { firmware: {}, devices: { disks: [{ name: "root", disk: {} }], interfaces: [] } },
  spec: { networks: [], volumes: [{ name: "root", containerDisk }] },
});

describe("bad input that no schema can see", { concurrency: 4 }, () => {
  let guests: Guests;
  before(async () => {
    guests = await Guests.open("bad-input");
  });
  after(() => guests.close());

  it("memory above any node's: ErrorUnschedulable with the scheduler's words", async () => {
    await guests.create("huge", { domain: { memory: { guest: "4Ti" } } });
    const vm = await guests.untilStatus("huge", "ErrorUnschedulable", STATUS_MS);
    assert.match(condition(vm, "PodScheduled")?.message ?? "", /Insufficient memory/);
    await guests.remove("huge");
  });

  it("a node selector that matches nothing: ErrorUnschedulable with the scheduler's words", async () => {
    await guests.create("nowhere", { spec: { nodeSelector: { "virtpod.io/nowhere": "true" } } });
    const vm = await guests.untilStatus("nowhere", "ErrorUnschedulable", STATUS_MS);
    assert.match(condition(vm, "PodScheduled")?.message ?? "", /node affinity\/selector/);
    await guests.remove("nowhere");
  });

  const tellsOfImage = (vm: VirtualMachine) => {
    assert.equal(
      condition(vm, "Synchronized")?.message?.includes(MISSING_IMAGE),
      true,
      JSON.stringify(vm.status),
    );
  };

  it("a containerDisk whose image can't be pulled: the pull's error names it", async () => {
    await guests.create("no-disk-image", bootDisk({ image: MISSING_IMAGE }));
    const vm = await guests.untilVm("no-disk-image", "an image error", STATUS_MS, isImageError);
    tellsOfImage(vm);
    await guests.remove("no-disk-image");
  });

  it("a containerDisk that may not be pulled and is not there: ErrImagePull", async () => {
    await guests.create("never-pulled", bootDisk({ image: MISSING_IMAGE, imagePullPolicy: "Never" }));
    const vm = await guests.untilStatus("never-pulled", "ErrImagePull", STATUS_MS);
    tellsOfImage(vm);
    await guests.remove("never-pulled");
  });

  it("a kernel whose image can't be pulled: the pull's error names it", async () => {
    const container = { image: MISSING_IMAGE, kernelPath: "/boot/vmlinuz" };
    await guests.create("no-kernel-image", { domain: { firmware: { kernelBoot: { container } } } });
    const vm = await guests.untilVm("no-kernel-image", "an image error", STATUS_MS, isImageError);
    tellsOfImage(vm);
    await guests.remove("no-kernel-image");
  });

  it("a kernel that its image does not have: the VM says which file", async () => {
    const container = { image: GUEST_IMAGE, kernelPath: "/boot/nothing" };
    await guests.create("no-kernel", { domain: { firmware: { kernelBoot: { container } } } });
    await tellsFailure("no-kernel", /boot\/nothing/);
    await guests.remove("no-kernel");
  });

  it("a containerDisk image without a disk: says so", async () => {
    await guests.create("no-disk", bootDisk({ image: GUEST_IMAGE, path: "/disk/nothing.img" }));
    await tellsFailure("no-disk", /containerDisk root: .*nothing\.img/);
    await guests.remove("no-disk");
  });

  it("a containerDisk image without a folder for disks: says so", async () => {
    // The launcher's own image has no folder /disk at all.
    const { image = "" } = (await launcherImage()) ?? {};
    await guests.create("no-disk-folder", bootDisk({ image }));
    await tellsFailure("no-disk-folder", /its image has no directory \/disk/);
    await guests.remove("no-disk-folder");
  });

  it("a guest that panics at once: Failed, then CrashLoopBackOff with the next start's time", async () => {
    await guests.create("panics", { kernelArgs: "console=ttyS0 virtpod.panic=1" });
    const vm = await guests.untilStatus("panics", "CrashLoopBackOff", STATUS_MS);
    assert.equal(vm.status?.startFailure?.consecutiveFailCount, 1);
    assert.ok(Date.parse(vm.status?.startFailure?.retryAfterTimestamp ?? "") > Date.now());
    assert.match(
      condition(vm, "Failure")?.message ?? "",
      /^the start failed, .*: the guest's kernel panicked$/,
    );
    await guests.untilEvent("panics", "Stopped", /the guest's kernel panicked/, STATUS_MS);
    // It is tried again, and the failures are counted.
    await guests.untilVm(
      "panics",
      "a second failure",
      STATUS_MS,
      ({ status }) => status?.startFailure?.consecutiveFailCount === 2,
    );
    await guests.remove("panics");
  });

  it("a quota that forbids the pod: FailedCreate names it, and raising it starts the VM", async () => {
    const namespace = await makeNamespace(guests.client, "quota");
    const limited = new Guests(guests.client, namespace);
    try {
      const quotas = guests.client.resource(RESOURCE_QUOTAS).namespace(namespace);
      await quotas.create({ metadata: { name: "no-pods" }, spec: { hard: { pods: "0" } } });
      // Its controller's word: nothing is refused before.
      await until(guests.client, RESOURCE_QUOTAS, {
        namespace,
        name: "no-pods",
        what: "what it forbids in its status",
        timeoutMs: STATUS_MS,
        when: (quota) => quota?.status?.hard?.["pods"] === "0",
      });
      // The namespace controller waits for a part of the grace period when the namespace goes with the VM in it.
      await limited.create("forbidden", { spec: { terminationGracePeriodSeconds: 0 } });
      const vm = await limited.untilVm(
        "forbidden",
        "Synchronized=False",
        STATUS_MS,
        (seen) => condition(seen, "Synchronized") !== undefined,
      );
      assert.equal(condition(vm, "Synchronized")?.reason, "FailedCreate");
      assert.match(condition(vm, "Synchronized")?.message ?? "", /exceeded quota: no-pods/);
      await limited.untilEvent("forbidden", "FailedCreate", /exceeded quota: no-pods/, STATUS_MS);
      await quotas.patch("no-pods", mergePatch({ spec: { hard: { pods: "5" } } }));
      const running = await limited.untilStatus("forbidden", "Running", STATUS_MS);
      assert.equal(condition(running, "Synchronized"), undefined);
    } finally {
      // With the VM that runs in it.
      await removeNamespace(guests.client, namespace);
    }
  });

  /** On the VM, where it stays while nothing runs, and as an event. */
  async function tellsFailure(name: string, words: RegExp): Promise<void> {
    const vm = await guests.untilStatus(name, "CrashLoopBackOff", STATUS_MS);
    assert.match(condition(vm, "Failure")?.message ?? "", words);
    await guests.untilEvent(name, "Stopped", words, STATUS_MS);
  }

  function isImageError({ status }: VirtualMachine): boolean {
    return ["ErrImagePull", "ImagePullBackOff"].includes(status?.printableStatus ?? "");
  }

  async function launcherImage() {
    const agents = await guests.client.request<{
      items: { spec: { initContainers?: { image?: string }[] } }[];
    }>({
      method: "GET",
      path: "/api/v1/namespaces/virtpod/pods?labelSelector=app.kubernetes.io/name=virtpod-agent",
      action: "find the launcher's image",
    });
    return agents.items[0]?.spec.initContainers?.[0];
  }
});
