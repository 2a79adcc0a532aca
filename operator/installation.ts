/** Is this cluster ours to work in? Two systems that reconcile the same kinds would make two pods per VMI. */
import type { Client } from "../kube/client.ts";
import { ignoreNotFound } from "../kube/errors.ts";
import { CUSTOM_RESOURCE_DEFINITIONS } from "../kube/resources.ts";
import { OperatorError } from "./errors.ts";

/** Only a real KubeVirt has this CRD: its own operator's configuration. */
const KUBEVIRT_CRD = "kubevirts.kubevirt.io";

/** @throws OperatorError ForeignInstallation */
export async function refuseForeignInstallation(client: Client): Promise<void> {
  const crd = await client.resource(CUSTOM_RESOURCE_DEFINITIONS).get(KUBEVIRT_CRD).catch(ignoreNotFound);
  if (crd === undefined) return;
  throw new OperatorError(
    "ForeignInstallation",
    "KubeVirt is installed in this cluster (CRD kubevirts.kubevirt.io exists), and both would reconcile the same " +
      "virtual machines; uninstall KubeVirt or virtpod",
  );
}
