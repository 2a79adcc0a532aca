/** The CRDs of VMs and VMIs, deleted with all they hold and made again. */
import type { Client } from "../../kube/client.ts";
import type { Draft } from "../../kube/objects.ts";
import { CUSTOM_RESOURCE_DEFINITIONS, type CustomResourceDefinition } from "../../kube/resources.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import { until, untilGone } from "../harness/cluster.ts";
import { eventually } from "../harness/eventually.ts";

const NAMES = [VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES].map(({ plural, group }) => `${plural}.${group}`);
type CrdDraft = Draft<CustomResourceDefinition>;

const GONE_MS = 60_000;
const ESTABLISHED_MS = 30_000;

/** VMs and VMIs elsewhere, which would go as well: `namespace/name`. */
export async function othersThan(client: Client, namespace: string): Promise<string[]> {
  const [vms, vmis] = await Promise.all([
    client.resource(VIRTUAL_MACHINES).list(),
    client.resource(VIRTUAL_MACHINE_INSTANCES).list(),
  ]);
  return [...vms.items, ...vmis.items]
    .filter(({ metadata }) => metadata.namespace !== namespace)
    .map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
}

/** Resolves when they are back and served. */
export async function recreateCrds(client: Client): Promise<void> {
  const crds = client.resource(CUSTOM_RESOURCE_DEFINITIONS);
  const kept = await Promise.all(NAMES.map((name) => crds.get(name)));
  try {
    await Promise.all(NAMES.map((name) => crds.delete(name)));
    await Promise.all(
      NAMES.map((name) => untilGone(client, CUSTOM_RESOURCE_DEFINITIONS, { name, timeoutMs: GONE_MS })),
    );
  } finally {
    for (const { metadata, spec } of kept) {
      const { name, labels, annotations } = metadata;
      // As helm, whose fields they are: as anyone else's, its next upgrade would be a conflict.
      await crds.apply({ metadata: { name, labels, annotations }, spec } as CrdDraft, {
        fieldManager: "helm",
        force: true,
      });
    }
  }
  await Promise.all(
    NAMES.map((name) =>
      until(client, CUSTOM_RESOURCE_DEFINITIONS, {
        name,
        what: "the condition Established",
        timeoutMs: ESTABLISHED_MS,
        when: (crd) =>
          crd?.status?.conditions?.some(({ type, status }) => type === "Established" && status === "True") ===
          true,
      }),
    ),
  );
  // The handler begins to serve a kind a moment after it has said so.
  await Promise.all([
    eventually(() => client.resource(VIRTUAL_MACHINES).list({ limit: 1 }), ESTABLISHED_MS),
    eventually(() => client.resource(VIRTUAL_MACHINE_INSTANCES).list({ limit: 1 }), ESTABLISHED_MS),
  ]);
}
