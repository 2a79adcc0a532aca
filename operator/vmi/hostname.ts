/** The guest's host name. */
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";

/** `spec.hostname`, else the VMI's name; one with dots or of more than 63 characters becomes a DNS label. */
export function hostnameOf(vmi: VirtualMachineInstance): string {
  const name = vmi.spec.hostname ?? vmi.metadata.name ?? "";
  return name.replaceAll(".", "-").slice(0, 63).replace(/-+$/, "");
}
