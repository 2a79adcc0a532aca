import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { expanded } from "./expand-spec.ts";

const VM = {
  apiVersion: "kubevirt.io/v1",
  kind: "VirtualMachine",
  metadata: { name: "tiny" },
  spec: { runStrategy: "Always", template: { spec: { domain: { devices: {} } } } },
};

describe("a VM that is to be expanded", () => {
  it("comes back as it is, in the namespace that it was asked in", () => {
    assert.deepEqual(expanded(VM, "default"), { ...VM, metadata: { name: "tiny", namespace: "default" } });
  });

  it("may leave out what its type says, as Go's clients do, and its instance type", () => {
    const { kind: _, apiVersion: __, ...bare } = VM;
    const spec = { ...bare.spec, instancetype: null };
    const answer = expanded({ ...bare, spec }, "default") as { kind: string };
    assert.equal(answer.kind, "VirtualMachine");
  });

  for (const [what, body, message] of [
    ["nothing", undefined, /must be a VirtualMachine/],
    ["a list", [VM], /must be a VirtualMachine/],
    ["another kind", { ...VM, kind: "Pod" }, /must be a VirtualMachine of kubevirt.io\/v1/],
    ["another version", { ...VM, apiVersion: "kubevirt.io/v2" }, /of kubevirt.io\/v1/],
    ["another namespace", { ...VM, metadata: { namespace: "other" } }, /namespace default, or of none/],
    ["no spec", { ...VM, spec: undefined }, /needs spec/],
    ["no template", { ...VM, spec: {} }, /needs spec.template/],
    ["an instance type", { ...VM, spec: { ...VM.spec, instancetype: { name: "u1" } } }, /spec.instancetype/],
    ["a preference", { ...VM, spec: { ...VM.spec, preference: { name: "f" } } }, /spec.preference/],
  ] as const) {
    it(`is not ${what}`, () => {
      assert.throws(
        () => expanded(body, "default"),
        (error: Error & { code?: number }) => error.code === 400 && message.test(error.message),
      );
    });
  }
});
