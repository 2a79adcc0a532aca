/** VMI → LaunchSpec: every default resolved, every path decided; pure. */
import type { Accelerator, LaunchInterface, LaunchSpec } from "../../api/launch-spec.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { type Claims, NO_CLAIMS } from "./claims.ts";
import { resolveCredentials } from "./credentials.ts";
import { MAX_QUEUES, resolveDisks } from "./disks.ts";
import { resolveDomain, vcpuCount } from "./domain.ts";
import { hostnameOf } from "./hostname.ts";

type Spec = VirtualMachineInstance["spec"];

export const DEFAULT_GRACE_PERIOD_SECONDS = 30;
/** KubeVirt's name for the network and interface that a VMI gets when it names none. */
const DEFAULT_NETWORK = "default";

/**
 * @param claims the PersistentVolumeClaims that the VMI names
 * @throws SpecError when the spec holds what the CRD's schema should have refused, or names a claim that is not there
 */
export function resolveLaunchSpec(
  vmi: VirtualMachineInstance,
  accelerator: Accelerator,
  claims: Claims = NO_CLAIMS,
): LaunchSpec {
  const { metadata, spec } = vmi;
  const accessCredentials = resolveCredentials(spec.accessCredentials);
  return {
    version: 1,
    namespace: metadata.namespace ?? "default",
    name: metadata.name ?? "",
    uid: metadata.uid ?? "",
    domain: resolveDomain(vmi, accelerator),
    disks: resolveDisks(vmi, claims),
    interfaces: resolveInterfaces(spec),
    hostname: hostnameOf(vmi),
    ...(spec.subdomain === undefined ? {} : { subdomain: spec.subdomain }),
    gracePeriodSeconds: spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_PERIOD_SECONDS,
    startPaused: spec.startStrategy === "Paused",
    ...(accessCredentials.length === 0 ? {} : { accessCredentials }),
  };
}

/** Interfaces matched to networks by name; the default pair when a VMI names neither (KubeVirt's rule). */
export function resolveInterfaces(spec: Spec): LaunchInterface[] {
  const { devices } = spec.domain;
  const named = devices.interfaces ?? [];
  const isDefault = named.length === 0 && (spec.networks ?? []).length === 0;
  if (isDefault && devices.autoattachPodInterface === false) return [];
  const interfaces = isDefault ? [{ name: DEFAULT_NETWORK }] : named;
  const queues = Math.min(vcpuCount(spec), MAX_QUEUES);
  return interfaces.map((one) => ({
    name: one.name,
    binding: "bridge",
    podInterface: "eth0",
    model: one.model ?? "virtio",
    ...(one.bootOrder === undefined ? {} : { bootOrder: one.bootOrder }),
    queues: devices.networkInterfaceMultiqueue === true && (one.model ?? "virtio") === "virtio" ? queues : 1,
  }));
}
