import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Disk } from "../../api/disks.ts";
import type { Volume } from "../../api/volumes.ts";
import { instanceOf } from "../vm/instance.ts";
import { claimConflict } from "./claim-conflict.ts";
import { type ClaimFacts, claimProblem } from "./claims.ts";
import { disksOf, withDefaultDisks } from "./default-disks.ts";
import { instance } from "./instance.fixture.ts";
import { resolveLaunchSpec } from "./launch-spec.ts";

const root: Volume = { name: "root", containerDisk: { image: "example.com/debian:13" } };
const seed: Volume = { name: "seed", cloudInitNoCloud: { userData: "#cloud-config" } };
const data: Volume = { name: "data", persistentVolumeClaim: { claimName: "data" } };

function machine(volumes: readonly Volume[], disks?: readonly Disk[]) {
  return instance({ volumes, domain: { devices: disks === undefined ? {} : { disks } } });
}

const claims = new Map<string, ClaimFacts>([
  [
    "data",
    { phase: "Bound", volumeMode: "Filesystem", accessModes: ["ReadWriteOnce"], capacityBytes: 1024 ** 3 },
  ],
]);

describe("a volume that no disk names", () => {
  it("gets a disk on the bus sata, after those that are listed, in the order of the volumes", () => {
    const listed: Disk = { name: "seed", cdrom: { bus: "scsi" } };
    assert.deepEqual(disksOf(machine([root, seed, data], [listed]).spec), [
      listed,
      { name: "root", disk: { bus: "sata" } },
      { name: "data", disk: { bus: "sata" } },
    ]);
    assert.deepEqual(disksOf(instance().spec), []);
  });

  it("is to the launcher, cloud-init's too, as if the disk had been written", () => {
    const bare = machine([root, seed, data]);
    const written = machine(
      [root, seed, data],
      [
        { name: "root", disk: { bus: "sata" } },
        { name: "seed", disk: { bus: "sata" } },
        { name: "data", disk: { bus: "sata" } },
      ],
    );
    const spec = resolveLaunchSpec(bare, "kvm", claims);
    assert.deepEqual(spec, resolveLaunchSpec(written, "kvm", claims));
    assert.deepEqual(
      spec.disks.map(({ name, device, bus, source }) => [name, device, bus, source.kind]),
      [
        ["root", "disk", "sata", "containerDisk"],
        ["seed", "disk", "sata", "cloudInit"],
        ["data", "disk", "sata", "file"],
      ],
    );
  });

  it("is listed with its disk in the VMI that a VM's template becomes, and in nothing else of it", () => {
    const { spec } = machine([root, seed], [{ name: "seed", cdrom: {} }]);
    const vm = { metadata: { name: "tiny", generation: 1 }, spec: { template: { spec } } };
    const made = instanceOf(vm as never);
    assert.deepEqual(made.spec, {
      ...spec,
      domain: {
        ...spec.domain,
        devices: {
          disks: [
            { name: "seed", cdrom: {} },
            { name: "root", disk: { bus: "sata" } },
          ],
        },
      },
    });
    const complete = machine([root], [{ name: "root" }]).spec;
    assert.equal(withDefaultDisks(complete), complete);
  });

  it("writes its claim: one that is read only, or another machine's, is told of before a pod is made", () => {
    const readOnlyMany = new Map([["data", { ...claims.get("data"), accessModes: ["ReadOnlyMany"] }]]);
    const { spec } = machine([data]);
    assert.equal(claimProblem(spec, claims), undefined);
    assert.equal(claimProblem(spec, readOnlyMany as never)?.reason, "FailedPvcAccessMode");
    assert.equal(claimConflict(machine([data]), [machine([data])])?.reason, "PvcInUse");
  });
});
