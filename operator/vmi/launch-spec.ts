/** VMI → LaunchSpec: every default resolved, every path decided; pure. */
import type { Accelerator, LaunchSpec } from "../../api/launch-spec.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { type Claims, NO_CLAIMS } from "./claims.ts";
import { resolveCredentials } from "./credentials.ts";
import { resolveDisks } from "./disks.ts";
import { resolveDomain } from "./domain.ts";
import { hostnameOf } from "./hostname.ts";
import { resolveInterfaces } from "./interfaces.ts";

export const DEFAULT_GRACE_PERIOD_SECONDS = 30;

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
