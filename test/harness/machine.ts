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

type Firmware = VirtualMachine["spec"]["template"]["spec"]["domain"]["firmware"];

export interface MachineOptions {
  readonly namespace: string;
  readonly name: string;
  /** The guest's memory; the example's unless told. */
  readonly memoryMiB?: number;
  /** The kernel's command line; the example's unless told. */
  readonly kernelArguments?: string;
  /** Memory to request for the guest in place of its own. */
  readonly requestedMiB?: number;
}

/** The example's manifest. */
export function exampleMachine(): Draft<VirtualMachine> {
  return parse(readFileSync(EXAMPLE, "utf8")) as Draft<VirtualMachine>;
}

/** The example with what the options change. */
export function createMachine(client: Client, options: MachineOptions): Promise<VirtualMachine> {
  const { namespace, name, memoryMiB, kernelArguments, requestedMiB } = options;
  const example = exampleMachine();
  const { domain } = example.spec.template.spec;
  const changed = {
    ...domain,
    ...(memoryMiB !== undefined && { memory: { guest: `${memoryMiB}Mi` } }),
    ...(kernelArguments !== undefined && { firmware: withArguments(domain.firmware, kernelArguments) }),
    ...(requestedMiB !== undefined && { resources: { requests: { memory: `${requestedMiB}Mi` } } }),
  };
  const template = { ...example.spec.template, spec: { ...example.spec.template.spec, domain: changed } };
  return client
    .resource(VIRTUAL_MACHINES)
    .namespace(namespace)
    .create({ ...example, metadata: { name, namespace }, spec: { ...example.spec, template } });
}

function withArguments(firmware: Firmware, kernelArgs: string): NonNullable<Firmware> {
  const { kernelBoot } = firmware ?? {};
  if (kernelBoot === undefined)
    throw new Error(`${EXAMPLE} boots no kernel, so it takes no kernel arguments`);
  return { ...firmware, kernelBoot: { ...kernelBoot, kernelArgs } };
}
