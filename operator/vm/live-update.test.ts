import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ANNOTATION_STARTED_TEMPLATE, ANNOTATION_VM_GENERATION } from "../../api/names.ts";
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { instanceOf } from "./instance.ts";
import { livePatch, liveUpdate, updated } from "./live-update.ts";

type Domain = VirtualMachine["spec"]["template"]["spec"]["domain"];

function vm(domain: Partial<Domain>, generation = 1): VirtualMachine {
  return {
    metadata: {
      name: "tiny",
      namespace: "default",
      uid: "vm",
      resourceVersion: "1",
      creationTimestamp: "",
      generation,
    },
    spec: {
      runStrategy: "Always",
      template: { spec: { domain: { devices: {}, memory: { guest: "128Mi" }, ...domain } } },
    },
  };
}

function started(domain: Partial<Domain>): VirtualMachineInstance {
  const { metadata, spec } = instanceOf(vm(domain));
  const made = { ...metadata, uid: "vmi", resourceVersion: "2", creationTimestamp: "" };
  return { metadata: made, spec } as VirtualMachineInstance;
}

const limited = (cpu: string, more: object = {}) => ({
  cpu: { cores: 1 },
  resources: { limits: { cpu } },
  ...more,
});

describe("a change of a running VM's template", () => {
  it("is passed on where it is of CPU amounts or burst alone, and then wants no restart", () => {
    for (const [before, after] of [
      [limited("500m"), limited("1")],
      [limited("1"), { cpu: { cores: 1 }, resources: { limits: { cpu: "1" }, requests: { cpu: "250m" } } }],
      [limited("1"), { ...limited("1"), cpu: { cores: 1, burst: { policy: "none" } } }],
      [{ ...limited("1"), cpu: { cores: 1, burst: { policy: "none" } } }, limited("1")],
      [{ cpu: { cores: 1 } }, limited("1")],
      [{ ...limited("1"), cpu: { burst: { percent: 10 } } }, { resources: { limits: { cpu: "1" } } }],
    ] as [Partial<Domain>, Partial<Domain>][]) {
      const vmi = started(before);
      const changed = vm(after, 7);
      const update = liveUpdate(changed, vmi);
      assert.ok(update, JSON.stringify(after));
      const now = updated(vmi, update);
      assert.deepEqual(now.spec, instanceOf(changed).spec);
      assert.equal(now.metadata.annotations?.[ANNOTATION_VM_GENERATION], "7");
      assert.equal(liveUpdate(changed, now), undefined, "and nothing is left to do");
    }
  });

  it("of something else is left for the next start, and passed on as far as it can be", () => {
    assert.equal(liveUpdate(vm({ memory: { guest: "256Mi" } }), started({})), undefined);
    const vmi = started(limited("500m"));
    const update = liveUpdate(vm({ ...limited("1"), memory: { guest: "256Mi" } }, 7), vmi);
    assert.ok(update);
    const now = updated(vmi, update);
    assert.equal(now.spec.domain.resources?.limits?.cpu, "1");
    assert.equal(now.spec.domain.memory?.guest, "128Mi");
    assert.equal(
      now.metadata.annotations?.[ANNOTATION_VM_GENERATION],
      "1",
      "it still runs an earlier generation",
    );
    assert.match(
      now.metadata.annotations?.[ANNOTATION_STARTED_TEMPLATE] ?? "",
      /"cpu":"1".*"?128Mi|128Mi.*"cpu":"1"/,
    );
  });

  it("waits for a restart where no kubelet could make it", () => {
    const guaranteed = { limits: { cpu: "1", memory: "1Gi" } };
    const rows: readonly (readonly [what: string, before: Partial<Domain>, after: Partial<Domain>])[] = [
      [
        "another number of vCPUs",
        { resources: { limits: { cpu: "1" } } },
        { resources: { limits: { cpu: "2" } } },
      ],
      ["a limit that goes", limited("1"), { cpu: { cores: 1 } }],
      [
        "a dedicated CPU more",
        { cpu: { dedicatedCpuPlacement: true }, resources: { limits: { cpu: "1" } } },
        { cpu: { dedicatedCpuPlacement: true }, resources: { limits: { cpu: "2" } } },
      ],
      [
        "a request of dedicated CPUs",
        { cpu: { cores: 1, dedicatedCpuPlacement: true } },
        { cpu: { cores: 1, dedicatedCpuPlacement: true }, resources: { requests: { cpu: "1" } } },
      ],
      [
        "another QoS class",
        { cpu: { cores: 1 }, resources: guaranteed },
        { cpu: { cores: 1 }, resources: { ...guaranteed, requests: { cpu: "500m" } } },
      ],
    ];
    for (const [what, before, after] of rows)
      assert.equal(liveUpdate(vm(after), started(before)), undefined, what);
    const both = { limits: { cpu: "2", memory: "1Gi" } };
    assert.ok(
      liveUpdate(
        vm({ cpu: { cores: 1 }, resources: both }),
        started({ cpu: { cores: 1 }, resources: guaranteed }),
      ),
    );
  });

  it("is none of a VMI that has ended, is going, or was started by nobody knows what", () => {
    const vmi = started(limited("500m"));
    const changed = vm(limited("1"));
    assert.equal(liveUpdate(changed, { ...vmi, status: { phase: "Failed" } }), undefined);
    assert.equal(
      liveUpdate(changed, { ...vmi, metadata: { ...vmi.metadata, deletionTimestamp: "x" } }),
      undefined,
    );
    assert.equal(liveUpdate(changed, { ...vmi, metadata: { ...vmi.metadata, annotations: {} } }), undefined);
    const odd = { [ANNOTATION_STARTED_TEMPLATE]: "{" };
    assert.equal(liveUpdate(changed, { ...vmi, metadata: { ...vmi.metadata, annotations: odd } }), undefined);
  });

  it("is written in one patch that fails when the VMI has been updated meanwhile", () => {
    const vmi = started({ cpu: { burst: { policy: "none" } }, resources: { limits: { cpu: "1" } } });
    const update = liveUpdate(vm({ resources: { limits: { cpu: "1" } } }), vmi);
    assert.ok(update);
    const patch = livePatch(vmi, update);
    assert.equal(patch.type, "json");
    const operations = patch.type === "json" ? patch.operations : [];
    const paths = operations.map((one) => `${one.op} ${one.path}`);
    assert.deepEqual(paths, [
      "test /metadata/annotations/virtpod.io~1started-template",
      "add /metadata/annotations/virtpod.io~1started-template",
      "add /metadata/annotations/kubevirt.io~1vm-generation",
      "remove /spec/domain/cpu",
      "add /spec/domain/resources",
    ]);
  });
});
