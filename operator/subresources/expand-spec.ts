/**
 * expand-spec of a stored VM, and of one in a request: the VM with its instance type and preference written out.
 * virtpod has neither, and its VMs can't name any: they are expanded as they stand.
 */
import { KUBEVIRT_GROUP, KUBEVIRT_VERSION } from "../../api/names.ts";
import type { Client } from "../../kube/client.ts";
import { ignoreNotFound } from "../../kube/errors.ts";
import { VIRTUAL_MACHINES } from "../kinds.ts";
import { EXPAND_SPEC_RESOURCE } from "./catalog.ts";
import type { SubresourceHandlers } from "./handler.ts";
import { StatusError, vmNotFound } from "./status.ts";

/** What etcd takes of one object. */
const MAX_VM_BYTES = 1536 * 1024;

export function expandSpecHandlers(client: Client): SubresourceHandlers {
  return {
    "virtualmachines/expand-spec": {
      method: "GET",
      answer: async ({ namespace, name }) => {
        const vm = await client
          .resource(VIRTUAL_MACHINES)
          .namespace(namespace)
          .get(name)
          .catch(ignoreNotFound);
        if (vm === undefined) throw vmNotFound({ namespace, name });
        return vm;
      },
    },
    [EXPAND_SPEC_RESOURCE]: {
      method: "PUT",
      maxBodyBytes: MAX_VM_BYTES,
      answer: async ({ namespace }, body) => expanded(body, namespace),
    },
  };
}

/** @throws StatusError BadRequest */
export function expanded(body: unknown, namespace: string): object {
  const vm = recordOf(body);
  const apiVersion = `${KUBEVIRT_GROUP}/${KUBEVIRT_VERSION}`;
  // Go's clients leave both out where the type says them.
  const isOther = (key: string, wanted: string) => ![undefined, "", wanted].includes(vm[key] as string);
  if (isOther("apiVersion", apiVersion) || isOther("kind", "VirtualMachine"))
    throw refused(`must be a VirtualMachine of ${apiVersion}`);
  const metadata = recordOf(vm["metadata"] ?? {}, "metadata");
  if (![undefined, "", namespace].includes(metadata["namespace"] as string))
    throw refused(`must be of the namespace ${namespace}, or of none`);
  const spec = recordOf(vm["spec"], "spec");
  recordOf(recordOf(spec["template"], "spec.template")["spec"], "spec.template.spec");
  for (const field of ["instancetype", "preference"]) {
    if (spec[field] !== undefined && spec[field] !== null)
      throw refused(`must not have spec.${field}: virtpod has no ${field}s to expand`);
  }
  return { ...vm, apiVersion, kind: "VirtualMachine", metadata: { ...metadata, namespace } };
}

function recordOf(value: unknown, field?: string): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw refused(field === undefined ? "must be a VirtualMachine" : `needs ${field}, an object`);
}

function refused(what: string): StatusError {
  return new StatusError("BadRequest", `the body of the ${EXPAND_SPEC_RESOURCE} request ${what}`);
}
