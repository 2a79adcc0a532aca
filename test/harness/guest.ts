/** VMs of the test guest with what a test changes in them, and what the guest itself says by HTTP. */
import { once } from "node:events";
import { connect } from "node:net";
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Client } from "../../kube/client.ts";
import type { Draft, KubeObject, ResourceDescriptor } from "../../kube/objects.ts";
import type { ResourceClient } from "../../kube/resource-client.ts";
import { EVENTS, NAMESPACES, PERSISTENT_VOLUME_CLAIMS, PODS, type Pod } from "../../kube/resources.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import {
  connectCluster,
  kubeconfigPath,
  launcherPods,
  makeNamespace,
  until,
  untilGone,
  untilLogged,
  untilStarted,
} from "./cluster.ts";
import { interact, untilHeard } from "./command.ts";
import { eventually } from "./eventually.ts";
import { exampleMachine } from "./machine.ts";

/** For what takes a second or two where the machine has nothing else to do. */
const PATIENCE_MS = 60_000;
/** A VM goes after its VMI and pods: time for an answer of the API server's, no more. */
const AFTER_VM_MS = 15_000;
const KNOCKED_PORT = 7777;

type VmSpec = VirtualMachine["spec"];
type VmiSpec = VmSpec["template"]["spec"];

export interface Changes {
  readonly vm?: Partial<Omit<VmSpec, "template">>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly spec?: Partial<Omit<VmiSpec, "domain">>;
  readonly domain?: Partial<VmiSpec["domain"]>;
  /** The kernel's command line, for a guest that boots a kernel. */
  readonly kernelArgs?: string;
}

/** A guest that boots in about two seconds: the example, and what the test changes in it. */
export function tiny(name: string, changes: Changes = {}): Draft<VirtualMachine> {
  const example = exampleMachine();
  const { template } = example.spec;
  const { running: _, runStrategy, ...rest } = example.spec;
  const strategy = changes.vm?.running === undefined ? { runStrategy } : {};
  return {
    ...example,
    metadata: { name },
    spec: {
      ...rest,
      ...strategy,
      ...changes.vm,
      template: {
        ...template,
        ...(changes.labels !== undefined && { metadata: { ...template.metadata, labels: changes.labels } }),
        spec: { ...template.spec, ...changes.spec, domain: domainOf(template.spec.domain, changes) },
      },
    },
  } as Draft<VirtualMachine>;
}

function domainOf(domain: VmiSpec["domain"], { domain: change, kernelArgs }: Changes): VmiSpec["domain"] {
  const changed = { ...domain, ...change };
  const kernelBoot = changed.firmware?.kernelBoot;
  if (kernelArgs === undefined || kernelBoot === undefined) return changed;
  return { ...changed, firmware: { ...changed.firmware, kernelBoot: { ...kernelBoot, kernelArgs } } };
}

/** The VMs of one test file's namespace, and whatever else is in it. */
export class Guests {
  readonly client: Client;
  readonly namespace: string;

  constructor(client: Client, namespace: string) {
    this.client = client;
    this.namespace = namespace;
  }

  /** In a new namespace whose name begins with `prefix`, over a connection of their own. */
  static async open(prefix: string): Promise<Guests> {
    const client = await connectCluster();
    return new Guests(client, await makeNamespace(client, prefix));
  }

  /**
   * Removes all that is in the namespace, and ends the connection. The empty namespace is left to its controller, which
   * only looks after 5 s, and again after a part of the pods' grace periods where there are any.
   */
  async close(): Promise<void> {
    // In this order the later ones have mostly gone with the earlier ones.
    await this.#removeAll(VIRTUAL_MACHINES);
    await this.#removeAll(VIRTUAL_MACHINE_INSTANCES);
    await this.#removeAll(PODS);
    await this.#removeAll(PERSISTENT_VOLUME_CLAIMS);
    await this.client.resource(NAMESPACES).delete(this.namespace);
    await this.client.close();
  }

  async #removeAll<T extends KubeObject>(kind: ResourceDescriptor<T>): Promise<void> {
    const { client, namespace } = this;
    const { items } = await this.resource(kind).list();
    if (items.length === 0) return;
    await this.resource(kind).deleteCollection();
    for (const { metadata } of items)
      await untilGone(client, kind, { namespace, name: metadata.name ?? "", timeoutMs: 2 * PATIENCE_MS });
  }

  /** The objects of a kind in the namespace. */
  resource<T extends KubeObject>(kind: ResourceDescriptor<T>): ResourceClient<T> {
    return this.client.resource(kind).namespace(this.namespace);
  }

  create(name: string, changes?: Changes): Promise<VirtualMachine> {
    return this.resource(VIRTUAL_MACHINES).create(tiny(name, changes), { fieldValidation: "Strict" });
  }

  /** A VMI without a VM: nothing starts it again. */
  createInstance(name: string, changes?: Changes): Promise<VirtualMachineInstance> {
    const { metadata, spec } = tiny(name, changes).spec.template;
    return this.resource(VIRTUAL_MACHINE_INSTANCES).create(
      { metadata: { ...metadata, name }, spec },
      { fieldValidation: "Strict" },
    );
  }

  /** Deletes the VMI and waits until it and its pods are gone. */
  async removeInstance(name: string, timeoutMs = PATIENCE_MS): Promise<void> {
    const { client, namespace } = this;
    await this.resource(VIRTUAL_MACHINE_INSTANCES).delete(name);
    await untilGone(client, VIRTUAL_MACHINE_INSTANCES, { namespace, name, timeoutMs });
  }

  untilVm(
    name: string,
    what: string,
    timeoutMs: number,
    when: (vm: VirtualMachine) => boolean,
  ): Promise<VirtualMachine> {
    return this.#until(VIRTUAL_MACHINES, name, what, timeoutMs, when);
  }

  untilVmi(
    name: string,
    what: string,
    timeoutMs: number,
    when: (vmi: VirtualMachineInstance) => boolean,
  ): Promise<VirtualMachineInstance> {
    return this.#until(VIRTUAL_MACHINE_INSTANCES, name, what, timeoutMs, when);
  }

  untilStatus(name: string, printableStatus: string, timeoutMs: number): Promise<VirtualMachine> {
    return this.untilVm(
      name,
      `printableStatus ${printableStatus}`,
      timeoutMs,
      ({ status }) => status?.printableStatus === printableStatus,
    );
  }

  /** The running guest's launcher pod and address, once it serves HTTP. */
  async answering(
    name: string,
    timeoutMs = 60_000,
  ): Promise<{ readonly pod: Pod; readonly address: string }> {
    await this.untilVmi(name, "phase Running", timeoutMs, ({ status }) => status?.phase === "Running");
    const where = { namespace: this.namespace, name: (await this.pod(name)).metadata.name };
    const pod = await untilStarted(this.client, where, timeoutMs);
    const lease = await untilLogged(this.client, where, / lease ip=([\d.]+)/, timeoutMs);
    await untilLogged(this.client, where, / http ready/, timeoutMs);
    return { pod, address: lease[1] ?? "" };
  }

  /** The one launcher pod of the VM's present incarnation. */
  async pod(name: string): Promise<Pod> {
    const pods = await launcherPods(this.client, this.namespace, name);
    const [pod] = pods;
    if (pod === undefined || pods.length > 1) {
      throw new Error(`VM ${this.namespace}/${name} has ${pods.length} launcher pods, not one`);
    }
    return pod;
  }

  /** Types a line into the guest's shell on its console, and waits for the answer. */
  async type(name: string, line: string, answer?: RegExp): Promise<void> {
    const env = { ...process.env, KUBECONFIG: kubeconfigPath() };
    const session = interact("node", ["cli/main.ts", "console", name, "-n", this.namespace], env);
    try {
      await session.expect(/Connected to the console/, PATIENCE_MS);
      await untilHeard(session, "ready");
      session.write(`${line}\n`);
      await session.expect(answer ?? new RegExp(`# ${escaped(line)}|${escaped(line)}\\r?\\n`), PATIENCE_MS);
    } finally {
      session.kill();
      await session.ended;
    }
  }

  /** Deletes the VM and waits until it, its VMI and its pods are gone. Resolves with how long that took. */
  async remove(name: string, timeoutMs = PATIENCE_MS): Promise<number> {
    const { client, namespace } = this;
    const startedAt = performance.now();
    const pods = await launcherPods(client, namespace, name);
    await this.resource(VIRTUAL_MACHINES).delete(name);
    await untilGone(client, VIRTUAL_MACHINES, { namespace, name, timeoutMs });
    await untilGone(client, VIRTUAL_MACHINE_INSTANCES, { namespace, name, timeoutMs: AFTER_VM_MS });
    for (const { metadata } of pods) {
      await untilGone(client, PODS, { namespace, name: metadata.name, timeoutMs: AFTER_VM_MS });
    }
    return performance.now() - startedAt;
  }

  /** Waits for an event about an object of that name. */
  async untilEvent(name: string, reason: string, message: RegExp, timeoutMs: number): Promise<void> {
    const events = this.resource(EVENTS);
    const fieldSelector = `involvedObject.name=${name},reason=${reason}`;
    const signal = AbortSignal.timeout(timeoutMs);
    const seen: string[] = [];
    const { items, resourceVersion } = await events.list({ fieldSelector });
    seen.push(...items.map((event) => event.message ?? ""));
    if (seen.some((text) => message.test(text))) return;
    try {
      for await (const event of events.watch({ fieldSelector, resourceVersion, signal })) {
        if (event.type === "BOOKMARK") continue;
        seen.push(event.object.message ?? "");
        if (message.test(event.object.message ?? "")) return;
      }
    } catch (cause) {
      if (!signal.aborted) throw cause;
    }
    throw new Error(`no event ${reason} of ${name} says ${message}; there were: ${JSON.stringify(seen)}`);
  }

  /** Waits for an event about the VM's launcher pod. */
  async untilEventOfPod(name: string, reason: string, message: RegExp, timeoutMs: number): Promise<void> {
    const { metadata } = await this.pod(name);
    await this.untilEvent(metadata.name, reason, message, timeoutMs);
  }

  async #until<T extends VirtualMachine | VirtualMachineInstance>(
    kind: Parameters<typeof until<T>>[1],
    name: string,
    what: string,
    timeoutMs: number,
    when: (object: T) => boolean,
  ): Promise<T> {
    const object = await until<T>(this.client, kind, {
      namespace: this.namespace,
      name,
      what,
      timeoutMs,
      when: (seen) => seen !== undefined && when(seen),
    });
    if (object === undefined) throw new Error(`${kind.kind} ${name} is gone`);
    return object;
  }
}

/** What the guest answers to GET. @throws Error with the address and the status */
export async function ask<T>(
  address: string,
  path: string,
  timeoutMs = 30_000,
  signal?: AbortSignal,
): Promise<T> {
  const url = `http://${address}${path}`;
  // An emulated guest on a busy machine may take seconds to answer; that it answers is what matters here.
  const deadline = AbortSignal.timeout(timeoutMs);
  const response = await fetch(url, {
    signal: signal === undefined ? deadline : AbortSignal.any([deadline, signal]),
  });
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}

/**
 * A line for the guest's shell that waits in the background for `knock`, and does the work then: what is typed can be
 * acknowledged before it ends whoever would carry the acknowledgement.
 */
export function onKnock(work: string): string {
  return `(nc -l -p ${KNOCKED_PORT} </dev/null; ${work}) &`;
}

/** Resolves when the guest that waits for it has been knocked at. */
export function knock(address: string, timeoutMs = PATIENCE_MS): Promise<void> {
  return eventually(async () => {
    const socket = connect(KNOCKED_PORT, address);
    await once(socket, "connect");
    socket.destroy();
  }, timeoutMs);
}

/** The name by which the guest knows the disk of that serial number, once its driver has found it. */
export function diskName(address: string, serial: string, timeoutMs = PATIENCE_MS): Promise<string> {
  return eventually(async () => {
    const disks = await ask<{ readonly name: string; readonly serial: string }[]>(address, "/disks");
    const name = disks.find((disk) => disk.serial === serial)?.name;
    if (name === undefined) throw new Error(`the guest has no disk ${serial}, only ${JSON.stringify(disks)}`);
    return name;
  }, timeoutMs);
}

export async function uptimeSeconds(address: string): Promise<number> {
  return (await ask<{ uptimeSeconds: number }>(address, "/uptime")).uptimeSeconds;
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

type Condition = {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
};

export function condition(
  object: { readonly status?: { readonly conditions?: readonly Condition[] | undefined } | undefined },
  type: string,
): Condition | undefined {
  return object.status?.conditions?.find((one) => one.type === type);
}
