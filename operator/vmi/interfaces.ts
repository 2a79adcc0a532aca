/** Interfaces and networks of a VMI, matched, with every default resolved; pure. */
import type { Interface } from "../../api/interfaces.ts";
import type { LaunchInterface } from "../../api/launch-spec.ts";
import type { Network } from "../../api/networks.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { DEFAULT_GUEST_SUBNET, guestSubnet } from "../../lib/guest-subnet.ts";
import { MAX_QUEUES } from "./disks.ts";
import { vcpuCount } from "./domain.ts";
import { podInterfaceOf } from "./multus.ts";
import { SpecError } from "./spec-error.ts";

type Spec = VirtualMachineInstance["spec"];

/** KubeVirt's name for the network and interface that a VMI gets when it names none. */
const DEFAULT_NETWORK = "default";

/** An interface and the network of the same name. */
export interface AttachedInterface {
  readonly iface: Interface;
  readonly network: Network;
}

/**
 * Interfaces matched to networks by name; the default pair when a VMI names neither (KubeVirt's rule).
 * @throws SpecError when an interface has no network, which the CRD's schema should have refused
 */
export function attachedInterfaces({ domain, networks = [] }: Spec): readonly AttachedInterface[] {
  const { interfaces = [], autoattachPodInterface } = domain.devices;
  if (interfaces.length === 0 && networks.length === 0) {
    if (autoattachPodInterface === false) return [];
    return [{ iface: { name: DEFAULT_NETWORK }, network: { name: DEFAULT_NETWORK, pod: {} } }];
  }
  // KubeVirt's way to unplug a card; one that doesn't start with the guest isn't there.
  const present = interfaces.filter(({ state }) => state !== "absent");
  return present.map((iface) => {
    const network = networks.find(({ name }) => name === iface.name);
    if (network === undefined) throw new SpecError(`interface ${iface.name} has no network of its name`);
    return { iface, network };
  });
}

/** @throws SpecError when the spec holds what the CRD's schema should have refused */
export function resolveInterfaces(spec: Spec): LaunchInterface[] {
  const isMultiqueue = spec.domain.devices.networkInterfaceMultiqueue === true;
  const queues = Math.min(vcpuCount(spec), MAX_QUEUES);
  return attachedInterfaces(spec).map(({ iface, network }) => {
    const model = iface.model ?? "virtio";
    if (iface.masquerade !== undefined) subnetOf(network);
    return {
      name: iface.name,
      binding: iface.masquerade === undefined ? "bridge" : "masquerade",
      podInterface: podInterfaceOf(network),
      model,
      ...(iface.bootOrder === undefined ? {} : { bootOrder: iface.bootOrder }),
      ...(iface.pciAddress === undefined ? {} : { pciAddress: iface.pciAddress.toLowerCase() }),
      ...(iface.acpiIndex === undefined ? {} : { acpiIndex: iface.acpiIndex }),
      ...(iface.state === "down" ? { linkState: "down" } : {}),
      ...(iface.dhcpOptions === undefined ? {} : { dhcpOptions: iface.dhcpOptions }),
      ...loopbackPortsOf(iface, network),
      queues: isMultiqueue && model === "virtio" ? queues : 1,
    };
  });
}

/** Behind masquerade the pod's own nftables lead there. */
function loopbackPortsOf(
  { masquerade, ports = [] }: Interface,
  { pod }: Network,
): Pick<LaunchInterface, "loopbackPorts"> {
  const listed = ports.filter(({ protocol = "TCP" }) => protocol === "TCP").map(({ port }) => port);
  if (masquerade !== undefined || pod === undefined || listed.length === 0) return {};
  return { loopbackPorts: [...new Set(listed)] };
}

/** The guest's subnet behind masquerade. @throws SpecError when the CRD's schema should have refused it */
export function subnetOf({ name, pod }: Network): string {
  if (pod === undefined) throw new SpecError(`interface ${name}: masquerade works on the pod network only`);
  const { vmNetworkCIDR = DEFAULT_GUEST_SUBNET } = pod;
  if (guestSubnet(vmNetworkCIDR) !== undefined) return vmNetworkCIDR;
  throw new SpecError(`networks[${name}].pod.vmNetworkCIDR: ${vmNetworkCIDR} is no IPv4 subnet, /8 to /30`);
}
