/** Paths of the subresources that virtpod's operator serves. */
import { type OWN_SUBRESOURCES_GROUP, SUBRESOURCES_GROUP } from "../api/names.ts";

export interface Subresource {
  readonly namespace: string;
  readonly resource: "virtualmachines" | "virtualmachineinstances";
  readonly name: string;
  /** E.g. `start`. */
  readonly subresource: string;
}

/** @param group KubeVirt's unless told */
export function subresourcePath(
  { namespace, resource, name, subresource }: Subresource,
  group: typeof SUBRESOURCES_GROUP | typeof OWN_SUBRESOURCES_GROUP = SUBRESOURCES_GROUP,
): string {
  return (
    `/apis/${group}/v1/namespaces/${encodeURIComponent(namespace)}` +
    `/${resource}/${encodeURIComponent(name)}/${subresource}`
  );
}
