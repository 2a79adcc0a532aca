/** Disks of a VMI: those that it lists, and a default one for each volume that none of them names; KubeVirt's rule; pure. */
import type { Disk } from "../../api/disks.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";

type Spec = VirtualMachineInstance["spec"];

/** What KubeVirt's webhook appends, in the order of the volumes. */
export function disksOf({ domain, volumes = [] }: Spec): readonly Disk[] {
  const listed = domain.devices.disks ?? [];
  const names = new Set(listed.map(({ name }) => name));
  const missing = volumes.filter(({ name }) => !names.has(name));
  return [...listed, ...missing.map(({ name }): Disk => ({ name, disk: { bus: "sata" } }))];
}

/** The spec with its default disks written out; the same object where it has none. */
export function withDefaultDisks(spec: Spec): Spec {
  const { domain } = spec;
  const disks = disksOf(spec);
  if (disks.length === (domain.devices.disks?.length ?? 0)) return spec;
  return { ...spec, domain: { ...domain, devices: { ...domain.devices, disks } } };
}
