/** A VMI for tests of what is made of it. */
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";

type Spec = VirtualMachineInstance["spec"];

export function instance(
  { domain, ...spec }: Partial<Omit<Spec, "domain">> & { readonly domain?: Partial<Spec["domain"]> } = {},
  metadata: Partial<VirtualMachineInstance["metadata"]> = {},
): VirtualMachineInstance {
  return {
    metadata: {
      name: "tiny",
      namespace: "default",
      uid: "11111111-2222-4333-8444-555555555555",
      resourceVersion: "1",
      creationTimestamp: "2026-01-01T00:00:00Z",
      ...metadata,
    },
    spec: { ...spec, domain: { devices: {}, memory: { guest: "128Mi" }, ...domain } },
  };
}
