import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Disk } from "../../api/disks.ts";
import type { Volume } from "../../api/volumes.ts";
import { claimConflict } from "./claim-conflict.ts";
import { instance } from "./instance.fixture.ts";

type Source = Omit<Volume, "name">;

const onClaim: Source = { persistentVolumeClaim: { claimName: "data" } };
const overClaim: Source = { ephemeral: { persistentVolumeClaim: { claimName: "data" } } };
const written: Omit<Disk, "name"> = { disk: { bus: "virtio" } };
const read: Omit<Disk, "name"> = { disk: { bus: "virtio", readonly: true } };
const shared: Omit<Disk, "name"> = { ...written, shareable: true };

const vmi = (name: string, source: Source, disk: Omit<Disk, "name"> = written) =>
  instance(
    { domain: { devices: { disks: [{ name: "d", ...disk }] } }, volumes: [{ name: "d", ...source }] },
    { name },
  );

const reason = (ours: ReturnType<typeof vmi>, theirs: ReturnType<typeof vmi>) =>
  claimConflict(ours, [theirs])?.reason;

describe("a claim that another VMI has", () => {
  it("is waited for, by name, if either writes it", () => {
    const conflict = claimConflict(vmi("a", onClaim), [vmi("c", onClaim, shared), vmi("b", onClaim)]);
    assert.equal(conflict?.reason, "PvcInUse");
    assert.match(conflict?.message ?? "", /PersistentVolumeClaim data is in use by .* c: stop that one/);
    assert.equal(reason(vmi("a", onClaim), vmi("b", onClaim, read)), "PvcInUse");
    assert.equal(reason(vmi("a", overClaim), vmi("b", onClaim)), "PvcInUse");
  });

  it("is not, if both only read it, or both say that they share it", () => {
    assert.equal(reason(vmi("a", overClaim), vmi("b", overClaim)), undefined);
    assert.equal(reason(vmi("a", onClaim, read), vmi("b", overClaim)), undefined);
    assert.equal(reason(vmi("a", onClaim, shared), vmi("b", onClaim, shared)), undefined);
  });

  it("is another claim than one of another name", () => {
    const other = vmi("b", { persistentVolumeClaim: { claimName: "other" } });
    assert.equal(reason(vmi("a", onClaim), other), undefined);
    assert.equal(claimConflict(vmi("a", onClaim), []), undefined);
  });
});
