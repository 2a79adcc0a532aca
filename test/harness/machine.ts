/** The VM of examples/vm.yaml, as tests and benchmarks make it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import type { Client } from "../../kube/client.ts";
import type { Draft } from "../../kube/objects.ts";
import { VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import { ROOT } from "./cluster.ts";

export const EXAMPLE = join(ROOT, "examples/vm.yaml");

export interface MachineOptions {
  readonly namespace: string;
  readonly name: string;
  /** The guest's memory; the example's unless told. */
  readonly memoryMiB?: number;
  /** Memory to request for the guest in place of its own. */
  readonly requestedMiB?: number;
}

/** The example's manifest. */
export function exampleMachine(): Draft<VirtualMachine> {
  return parse(readFileSync(EXAMPLE, "utf8")) as Draft<VirtualMachine>;
}

/** The kernel arguments of the example's guest, "" when it has none. */
export function exampleKernelArguments(): string {
  return exampleMachine().spec.template.spec.domain.firmware?.kernelBoot?.kernelArgs ?? "";
}

export function createMachine(client: Client, options: MachineOptions): Promise<VirtualMachine> {
  const { namespace, name, memoryMiB, requestedMiB } = options;
  const example = exampleMachine();
  const { domain } = example.spec.template.spec;
  const changed = {
    ...domain,
    ...(memoryMiB !== undefined && { memory: { guest: `${memoryMiB}Mi` } }),
    ...(requestedMiB !== undefined && { resources: { requests: { memory: `${requestedMiB}Mi` } } }),
  };
  const template = { ...example.spec.template, spec: { ...example.spec.template.spec, domain: changed } };
  return client
    .resource(VIRTUAL_MACHINES)
    .namespace(namespace)
    .create({ ...example, metadata: { name, namespace }, spec: { ...example.spec, template } });
}
