import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Disk } from "../../api/disks.ts";
import type { Volume } from "../../api/volumes.ts";
import type { PersistentVolumeClaim } from "../../kube/resources.ts";
import { type ClaimFacts, claimFacts, claimNames, claimProblem, slimClaim, unboundClaims } from "./claims.ts";
import { instance } from "./instance.fixture.ts";

const GIB = 1024 ** 3;

function claim(over: Partial<ClaimFacts> = {}): ClaimFacts {
  return {
    phase: "Bound",
    volumeMode: "Filesystem",
    accessModes: ["ReadWriteOnce"],
    capacityBytes: GIB,
    ...over,
  };
}

/** A VMI with one disk on the claim `data`. */
function onClaim(disk: Omit<Disk, "name">, readOnly?: boolean) {
  const persistentVolumeClaim = { claimName: "data", ...(readOnly === undefined ? {} : { readOnly }) };
  return instance({
    domain: { devices: { disks: [{ name: "d", ...disk }] } },
    volumes: [{ name: "d", persistentVolumeClaim }],
  }).spec;
}

const problem = (spec: ReturnType<typeof onClaim>, over?: Partial<ClaimFacts>) =>
  claimProblem(spec, new Map([["data", claim(over)]]))?.reason;

describe("the claims of a VMI", () => {
  const volumes: Volume[] = [
    { name: "a", persistentVolumeClaim: { claimName: "data" } },
    { name: "b", ephemeral: { persistentVolumeClaim: { claimName: "base" } } },
    { name: "c", ephemeral: { persistentVolumeClaim: { claimName: "base" } } },
    { name: "d", emptyDisk: { capacity: "1Gi" } },
  ];
  const { spec } = instance({ volumes });

  it("are those that its volumes name, each once", () => {
    assert.deepEqual(claimNames(spec), ["data", "base"]);
    assert.deepEqual(claimNames(instance().spec), []);
  });

  it("stop its start, by name, while one is missing", () => {
    const missing = claimProblem(spec, new Map([["data", claim()]]));
    assert.equal(missing?.reason, "FailedPvcNotFound");
    assert.match(missing?.message ?? "", /PersistentVolumeClaim base is missing/);
    assert.match(claimProblem(spec, new Map())?.message ?? "", /data, base are missing/);
  });

  it("do not stop its start for want of a volume: the pod is what a volume waits for", () => {
    const claims = new Map([
      ["data", claim({ phase: "Pending" })],
      ["base", claim()],
    ]);
    assert.equal(claimProblem(spec, claims), undefined);
    assert.deepEqual(unboundClaims(spec, claims), ["data"]);
  });

  it("stop its start when one has lost its volume", () => {
    assert.equal(problem(onClaim({ disk: {} }), { phase: "Lost" }), "FailedPvcLost");
  });
});

describe("a claim that can only be read", () => {
  const readOnly = { accessModes: ["ReadOnlyMany"] };

  it("is refused to a disk that is written", () => {
    assert.equal(problem(onClaim({ disk: { bus: "virtio" } }), readOnly), "FailedPvcAccessMode");
    assert.equal(problem(onClaim({}), readOnly), "FailedPvcAccessMode");
  });

  it("does for a disk that is read-only by its volume, its target or its kind", () => {
    assert.equal(problem(onClaim({ disk: { bus: "virtio" } }, true), readOnly), undefined);
    assert.equal(problem(onClaim({ disk: { bus: "virtio", readonly: true } }), readOnly), undefined);
    assert.equal(problem(onClaim({ cdrom: {} }), readOnly), undefined);
  });

  it("does for an ephemeral volume, which is never written", () => {
    const { spec } = instance({
      domain: { devices: { disks: [{ name: "d" }] } },
      volumes: [{ name: "d", ephemeral: { persistentVolumeClaim: { claimName: "data" } } }],
    });
    assert.equal(problem(spec, readOnly), undefined);
  });

  it("may be written where it can also be written", () => {
    assert.equal(
      problem(onClaim({ disk: {} }), { accessModes: ["ReadOnlyMany", "ReadWriteOnce"] }),
      undefined,
    );
  });
});

describe("what else a claim is refused for", () => {
  it("sharing one that only one pod may have", () => {
    const spec = onClaim({ disk: { bus: "virtio" }, shareable: true });
    assert.equal(problem(spec, { accessModes: ["ReadWriteOncePod"] }), "FailedPvcAccessMode");
    assert.equal(problem(spec, { accessModes: ["ReadWriteMany"] }), undefined);
  });

  it("a lun on a file system", () => {
    assert.equal(problem(onClaim({ lun: {} })), "FailedPvcVolumeMode");
    assert.equal(problem(onClaim({ lun: {} }), { volumeMode: "Block" }), undefined);
  });
});

describe("what is known of a claim", () => {
  const made: PersistentVolumeClaim = {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      name: "data",
      namespace: "default",
      uid: "u",
      resourceVersion: "1",
      creationTimestamp: "2026-01-01T00:00:00Z",
      annotations: { a: "long" },
    },
    spec: {
      accessModes: ["ReadWriteOnce"],
      volumeMode: "Block",
      storageClassName: "fast",
      resources: { requests: { storage: "1Gi" } },
    },
    status: { phase: "Pending" },
  };

  it("is its request's size until it has a volume, then the volume's", () => {
    assert.deepEqual(claimFacts(made), claim({ phase: "Pending", volumeMode: "Block" }));
    const bound = { ...made, status: { phase: "Bound" as const, capacity: { storage: "2Gi" } } };
    assert.equal(claimFacts(bound).capacityBytes, 2 * GIB);
  });

  it("is what the cache keeps of it, and no more is kept", () => {
    assert.deepEqual(claimFacts(slimClaim(made)), claimFacts(made));
    const kept = slimClaim(made);
    assert.equal(kept.metadata.annotations, undefined);
    assert.equal(kept.spec?.storageClassName, undefined);
  });
});
