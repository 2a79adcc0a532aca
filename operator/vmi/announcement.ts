/** What an agent is told of a launcher pod: which pod may be served, and what it may have; pure. */
import type { NodeBurstStrategy } from "../../api/cpu-burst.ts";
import type { AnnouncedInterface, AnnouncedLauncher } from "../../api/uplink-protocol.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { announcedCpu } from "./cpu.ts";
import { type AttachedInterface, attachedInterfaces, resolveInterfaces, subnetOf } from "./interfaces.ts";
import { macAddressOf } from "./mac-address.ts";
import { type PodNetwork, toldInterfaceOf } from "./multus.ts";
import type { PodFacts } from "./pod-facts.ts";
import { unguardedInterfaces } from "./unguarded.ts";

/**
 * Undefined as long as nobody has told how the pod's further networks are called in it.
 * @param burst how VMs on the pod's node may burst
 */
export function announcedLauncher(
  vmi: VirtualMachineInstance,
  pod: PodFacts,
  burst: NodeBurstStrategy,
): AnnouncedLauncher | undefined {
  const interfaces = announcedInterfaces(vmi, pod.networks);
  if (interfaces.length < attachedInterfaces(vmi.spec).length) return undefined;
  const cpu = announcedCpu(vmi, pod, burst);
  return {
    podUid: pod.uid,
    podName: pod.name,
    namespace: namespaceOf(vmi),
    vmiName: vmi.metadata.name ?? "",
    vmiUid: vmi.metadata.uid ?? "",
    interfaces,
    ...(cpu === undefined ? {} : { cpu }),
  };
}

/**
 * Those interfaces of which it is known how the pod calls its end.
 * @param told what the pod is attached to besides the cluster's network
 */
export function announcedInterfaces(
  vmi: VirtualMachineInstance,
  told: readonly PodNetwork[] = [],
): readonly AnnouncedInterface[] {
  const resolved = resolveInterfaces(vmi.spec);
  return attachedInterfaces(vmi.spec).flatMap((attached, index): AnnouncedInterface[] => {
    const podInterface = toldInterfaceOf(attached.network, told, namespaceOf(vmi));
    const queues = resolved[index]?.queues ?? 1;
    return podInterface === undefined ? [] : [announcedInterface(vmi, attached, podInterface, queues)];
  });
}

function announcedInterface(
  vmi: VirtualMachineInstance,
  attached: AttachedInterface,
  podInterface: string,
  queues: number,
): AnnouncedInterface {
  const { iface, network } = attached;
  const macAddress = macAddressOf(vmi, attached);
  const common = {
    name: iface.name,
    podInterface,
    queues,
    ...(macAddress === undefined ? {} : { macAddress }),
  };
  if (iface.masquerade === undefined) {
    const isUnguarded = unguardedInterfaces(vmi).includes(iface.name);
    return { ...common, binding: "bridge", ...(isUnguarded ? { unguarded: true } : {}) };
  }
  return {
    ...common,
    binding: "masquerade",
    vmNetworkCidr: subnetOf(network),
    ports: (iface.ports ?? []).map(({ port, protocol }) => ({ protocol: protocol ?? "TCP", port })),
  };
}

function namespaceOf({ metadata }: VirtualMachineInstance): string {
  return metadata.namespace ?? "default";
}
