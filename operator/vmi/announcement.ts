/** What an agent is told of a launcher pod: which pod may be served, and what it may have; pure. */
import type { AnnouncedLauncher } from "../../api/uplink-protocol.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { resolveInterfaces } from "./launch-spec.ts";
import type { PodFacts } from "./pod-facts.ts";

export function announcedLauncher(vmi: VirtualMachineInstance, pod: PodFacts): AnnouncedLauncher {
  const macAddresses = new Map(
    (vmi.spec.domain.devices.interfaces ?? []).map(({ name, macAddress }) => [name, macAddress]),
  );
  return {
    podUid: pod.uid,
    podName: pod.name,
    namespace: vmi.metadata.namespace ?? "default",
    vmiName: vmi.metadata.name ?? "",
    vmiUid: vmi.metadata.uid ?? "",
    interfaces: resolveInterfaces(vmi.spec).map(({ name, binding, podInterface, queues }) => {
      const macAddress = macAddresses.get(name);
      return {
        name,
        binding,
        podInterface,
        queues,
        ...(macAddress === undefined ? {} : { macAddress: canonicalMac(macAddress) }),
      };
    }),
  };
}

/** The API also takes hyphens and capitals, as KubeVirt's does; the kernel writes colons and small letters. */
function canonicalMac(address: string): string {
  return address.replaceAll("-", ":").toLowerCase();
}
