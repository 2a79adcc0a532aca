/** Which MAC address an interface of the guest has; pure. */
import { createHash } from "node:crypto";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { uuidOf } from "./domain.ts";
import type { AttachedInterface } from "./interfaces.ts";
import { isOwnNetwork } from "./multus.ts";

/**
 * The spec's, or one that the VM keeps in all its incarnations. Undefined for an interface that takes the MAC of the
 * pod's, bridged to the cluster's own network, which may know pods by their MACs.
 */
export function macAddressOf(
  vmi: VirtualMachineInstance,
  { iface, network }: AttachedInterface,
): string | undefined {
  if (iface.macAddress !== undefined) return canonical(iface.macAddress);
  if (iface.masquerade === undefined && isOwnNetwork(network)) return undefined;
  return derived(vmi, iface.name);
}

/**
 * Locally administered and unicast. The VM's name is in it beside its UUID, because people copy manifests with the UUID
 * that stands in them; nothing has to be written down for it to stay.
 */
function derived(vmi: VirtualMachineInstance, interfaceName: string): string {
  const { namespace = "default", name = "" } = vmi.metadata;
  const identity = [uuidOf(vmi), namespace, name, interfaceName].join("/");
  const digest = createHash("sha256").update(identity).digest();
  const octets = [((digest[0] ?? 0) & 0xfc) | 0x02, ...digest.subarray(1, 6)];
  return octets.map((octet) => octet.toString(16).padStart(2, "0")).join(":");
}

/** The API also takes hyphens and capitals, as KubeVirt's does; the kernel writes colons and small letters. */
function canonical(address: string): string {
  return address.replaceAll("-", ":").toLowerCase();
}
