/** Writing an object's finalizers. */
import type { KubeObject } from "../kube/objects.ts";
import type { Patch } from "../kube/request.ts";

/** Replaces the finalizers; fails with a conflict when the object has changed since it was read. */
export function finalizersPatch({ metadata }: KubeObject, finalizers: readonly string[]): Patch {
  const { resourceVersion } = metadata;
  return { type: "merge", body: { metadata: { resourceVersion, finalizers } } };
}
