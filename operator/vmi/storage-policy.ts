/** Volumes that an installation has to allow before a VM may have them; pure. */
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";

export interface StoragePolicy {
  /** hostDisk: files of the node's, mounted into the launcher pod. */
  readonly allowHostDisk: boolean;
  /** serviceAccount: a token for the Kubernetes API in the launcher pod and in the guest. */
  readonly allowServiceAccountDisk: boolean;
}

/** Why the installation doesn't allow the VMI its volumes; undefined when it does. */
export function policyProblem(
  { volumes = [] }: VirtualMachineInstance["spec"],
  policy: StoragePolicy,
): { readonly reason: string; readonly message: string } | undefined {
  const hostDisk = volumes.find((volume) => volume.hostDisk !== undefined);
  if (hostDisk !== undefined && !policy.allowHostDisk)
    return refusal("HostDiskNotAllowed", hostDisk.name, "hostDisk", "allowHostDisk");
  const serviceAccount = volumes.find((volume) => volume.serviceAccount !== undefined);
  if (serviceAccount !== undefined && !policy.allowServiceAccountDisk) {
    return refusal(
      "ServiceAccountDiskNotAllowed",
      serviceAccount.name,
      "serviceAccount",
      "allowServiceAccountDisk",
    );
  }
  return undefined;
}

function refusal(reason: string, volume: string, source: string, value: string) {
  return {
    reason,
    message: `volume ${volume}: this installation doesn't allow ${source}; whoever runs it can set the chart's value ${value}`,
  };
}
