/** `virtpod expose TYPE NAME`: a Service that leads to a virtual machine. */
import { KUBEVIRT_GROUP, KUBEVIRT_VERSION } from "../../api/names.ts";
import { type ClusterFlags, clusterOf } from "../cluster.ts";
import { withProgress } from "../progress.ts";
import { getJson, sendJson } from "../request.ts";
import { type Exposed, type ServiceOptions, serviceOf } from "../service.ts";
import { parseKind, resourceOf } from "../target.ts";

export type ExposeFlags = ClusterFlags & ServiceOptions & { readonly dryRun?: boolean };

/** @throws CliError */
export async function expose(type: string, name: string, flags: ExposeFlags): Promise<void> {
  const kind = parseKind(type);
  const cluster = clusterOf(flags);
  const { namespace } = cluster;
  const base = `/apis/${KUBEVIRT_GROUP}/${KUBEVIRT_VERSION}/namespaces/${encodeURIComponent(namespace)}`;
  const path = `${base}/${resourceOf(kind)}/${encodeURIComponent(name)}`;
  const object = (await withProgress(`reading ${kind}/${name}`, getJson(cluster, path))) as {
    readonly metadata: Exposed["metadata"];
    readonly spec: Exposed["spec"] & { readonly template?: { readonly spec: Exposed["spec"] } };
  };
  const { metadata, spec } = object;
  const exposed: Exposed =
    kind === "vm"
      ? { kind: "VirtualMachine", metadata, spec: spec.template?.spec ?? spec }
      : { kind: "VirtualMachineInstance", metadata, spec };
  const service = serviceOf(exposed, flags);
  if (flags.dryRun === true) {
    process.stdout.write(`${JSON.stringify(service, null, 2)}\n`);
    return;
  }
  const services = `/api/v1/namespaces/${encodeURIComponent(namespace)}/services`;
  await withProgress(`making the Service ${flags.name}`, sendJson(cluster, "POST", services, service));
  process.stdout.write(`Service ${flags.name} successfully created for ${type.toLowerCase()} ${name}\n`);
}
