/** VMs on PersistentVolumeClaims, with the real controllers and an API server in memory. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import type { Draft } from "../kube/objects.ts";
import { EVENTS, PERSISTENT_VOLUME_CLAIMS, type PersistentVolumeClaim } from "../kube/resources.ts";
import type { Caches } from "./caches.ts";
import { VIRTUAL_MACHINES } from "./kinds.ts";
import { machine, NAMESPACE, World } from "./testing/world.ts";
import { conditionOf } from "./vmi/conditions.ts";
import { startedRivals } from "./vmi/storage-facts.ts";

function world(t: TestContext): World {
  const it = new World();
  t.after(() => it.close());
  return it;
}

const claims = (w: World) => w.user.resource(PERSISTENT_VOLUME_CLAIMS).namespace(NAMESPACE);
const printable = (w: World) => w.vm("tiny")?.status?.printableStatus;

function claim(accessModes: string[] = ["ReadWriteOnce"]): Draft<PersistentVolumeClaim> {
  return {
    metadata: { name: "data", namespace: NAMESPACE },
    spec: { accessModes, volumeMode: "Block", resources: { requests: { storage: "1Gi" } } },
    status: { phase: "Pending" },
  };
}

async function createOnClaim(w: World, name = "tiny"): Promise<void> {
  const { metadata, spec } = machine(name);
  const template = {
    spec: {
      ...spec.template.spec,
      domain: { ...spec.template.spec.domain, devices: { disks: [{ name: "d", disk: { bus: "virtio" } }] } },
      volumes: [{ name: "d", persistentVolumeClaim: { claimName: "data" } }],
    },
  };
  await w.user.resource(VIRTUAL_MACHINES).create({ metadata, spec: { ...spec, template } } as never);
}

async function bind(w: World): Promise<void> {
  const made = await claims(w).get("data");
  await claims(w).updateStatus({ ...made, status: { phase: "Bound", capacity: { storage: "1Gi" } } });
}

describe("a VM whose claim is missing", () => {
  it("says so, has no pod, writes nothing more while it waits, and starts when the claim is there", async (t) => {
    const w = world(t);
    await createOnClaim(w);
    await w.until("told", () => printable(w) === "ErrorPvcNotFound");
    await w.quiet();
    assert.equal(w.pods.length, 0);
    const synchronized = conditionOf(w.vmi("tiny")?.status?.conditions, "Synchronized");
    assert.equal(synchronized?.reason, "FailedPvcNotFound");
    const before = w.writes.length;
    w.operator.vmi.controller.enqueue(`${NAMESPACE}/tiny`);
    await w.quiet(2);
    assert.deepEqual(w.writes.slice(before), []);

    await claims(w).create(claim());
    await w.until("Running", () => printable(w) === "Running");
    const [container] = w.pods[0]?.spec.containers ?? [];
    assert.deepEqual(container?.volumeDevices, [{ name: "volume-0", devicePath: "/dev/virtpod/d" }]);
  });

  it("isn't called so while only the cache doesn't have it yet", async (t) => {
    const w = world(t);
    await w.quiet();
    w.server.intercept = ({ method, path }) =>
      method === "GET" && /\/persistentvolumeclaims(\?|$)/.test(path)
        ? { statusCode: 503, body: { kind: "Status", reason: "ServiceUnavailable", message: "m", code: 503 } }
        : undefined;
    for (const watch of w.server.watches) watch.break();
    await claims(w).create(claim());
    await createOnClaim(w);
    await w.until("Running", () => printable(w) === "Running");
    assert.deepEqual(w.operator.caches.claims.list(), []);
  });
});

describe("a VM whose claim has no volume yet", () => {
  it("waits for it with its pod made, which is what the volume waits for", async (t) => {
    const w = world(t);
    w.kubelet.script = { unbound: true };
    await claims(w).create(claim());
    await createOnClaim(w);
    await w.until("waiting", () => printable(w) === "WaitingForVolumeBinding");
    assert.equal(w.pods.length, 1);
    await bind(w);
    w.kubelet.script = {};
    await w.until("Running", () => printable(w) === "Running");
    await w.quiet();
    assert.equal(conditionOf(w.vmi("tiny")?.status?.conditions, "Provisioning"), undefined);
    assert.equal(w.podUids.size, 1);
  });
});

describe("a VM whose Secret is missing", () => {
  it("says what the kubelet says, and runs when the kubelet has gone on", async (t) => {
    const w = world(t);
    w.kubelet.script = { stuckOnNode: true };
    await w.user.resource(VIRTUAL_MACHINES).create(machine("tiny"));
    await w.until("a pod on a node", () => w.pods[0]?.spec.nodeName !== undefined);
    const [pod] = w.pods;
    const told = () => conditionOf(w.vmi("tiny")?.status?.conditions, "Synchronized");
    await w.user.resource(EVENTS).create({
      metadata: { name: "e", namespace: NAMESPACE },
      involvedObject: { kind: "Pod", name: pod?.metadata.name ?? "", uid: pod?.metadata.uid ?? "" },
      type: "Warning",
      reason: "FailedMount",
      message: 'secret "keys" not found',
      lastTimestamp: "2026-01-01T00:00:00Z",
    });
    await w.until("told", () => told()?.reason === "FailedMount");
    assert.equal(told()?.message, 'secret "keys" not found');
    w.kubelet.script = {};
    await w.until("Running", () => printable(w) === "Running");
    assert.equal(told(), undefined);
  });
});

describe("two VMs on one claim", () => {
  it("run one after the other, however close they are started", async (t) => {
    const w = world(t);
    await claims(w).create(claim());
    await Promise.all(["one", "two", "three"].map((name) => createOnClaim(w, name)));
    const names = ["one", "two", "three"];
    const running = () => names.filter((name) => w.vmi(name)?.status?.phase === "Running");
    const waiting = () =>
      names.filter((name) => {
        const condition = conditionOf(w.vmi(name)?.status?.conditions, "Synchronized");
        return condition?.reason === "PvcInUse";
      });
    await w.until("one runs, the others wait", () => running().length === 1 && waiting().length === 2);
    await w.quiet(2);
    const [first = ""] = running();
    assert.equal(w.pods.length, 1);

    await w.user.resource(VIRTUAL_MACHINES).namespace(NAMESPACE).delete(first);
    await w.until("the next one runs", () => running().some((name) => name !== first));
    await w.quiet(2);
    assert.deepEqual([w.pods.length, waiting().length], [1, 1]);
  });

  it("know of each other although the cache shows the first one as it was before it started", async (t) => {
    const w = world(t);
    await claims(w).create(claim());
    await createOnClaim(w, "one");
    await w.until("Running", () => w.vmi("one")?.status?.phase === "Running");
    const one = w.vmi("one");
    assert(one !== undefined);
    const { status: _, ...asItWas } = one;
    const behind = { vmis: { byIndex: () => [asItWas] } } as unknown as Pick<Caches, "vmis">;
    const two = { ...one, metadata: { ...one.metadata, name: "two", uid: "two" } };
    const rivals = () => startedRivals(behind, w.user, two, AbortSignal.timeout(10_000));
    assert.deepEqual(
      (await rivals()).map(({ metadata }) => metadata.name),
      ["one"],
    );
    await w.user.resource(VIRTUAL_MACHINES).namespace(NAMESPACE).delete("one");
    await w.until("gone", () => w.vmi("one") === undefined);
    assert.deepEqual(await rivals(), []);
  });
});

describe("a VM whose claim can't be written", () => {
  it("says so, and starts once there is another claim of that name", async (t) => {
    const w = world(t);
    await claims(w).create(claim(["ReadOnlyMany"]));
    await createOnClaim(w);
    const reason = () => conditionOf(w.vmi("tiny")?.status?.conditions, "Synchronized")?.reason;
    await w.until("told", () => reason() === "FailedPvcAccessMode");
    assert.equal(w.pods.length, 0);
    await claims(w).delete("data");
    await w.until("told again", () => reason() === "FailedPvcNotFound");
    await claims(w).create(claim());
    await w.until("Running", () => printable(w) === "Running");
  });
});
