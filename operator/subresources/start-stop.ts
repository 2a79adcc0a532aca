/** PUT start, stop and restart of a VM: KubeVirt's StartOptions, StopOptions and RestartOptions. */
import { LABEL_CREATED_BY } from "../../api/names.ts";
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Client } from "../../kube/client.ts";
import { ConflictError, ignoreNotFound } from "../../kube/errors.ts";
import { isControlledBy } from "../../kube/ownership.ts";
import { mergePatch } from "../../kube/request.ts";
import { PODS } from "../../kube/resources.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "../kinds.ts";
import { isDryRun } from "./dry-run.ts";
import type { SubresourceHandler, SubresourceHandlers } from "./handler.ts";
import type { SubresourcePath } from "./path.ts";
import { type StateChange, type StateChangeAction, stateChange } from "./state-change.ts";
import { StatusError, vmNotFound } from "./status.ts";

/** Somebody else may write to the VM at the same time, its controller above all. */
const MAX_ATTEMPTS = 5;
/** A grace period of 0 would take the pod out of the API while its guest may still run; the kubelet ends 1 s for sure. */
const MIN_GRACE_SECONDS = 1;

interface Options {
  readonly paused: boolean;
  readonly dryRun: boolean;
  readonly gracePeriodSeconds?: number;
}

/** @param client not fenced: every replica serves these, and writes only what the caller may ask for */
export function startStopHandlers(client: Client): SubresourceHandlers {
  const put = (action: StateChangeAction): SubresourceHandler => ({
    method: "PUT",
    answer: async (path, body) => {
      const options = parseOptions(action, body);
      const vmi = await changeState(client, path, action, options);
      if (vmi !== undefined && options.gracePeriodSeconds !== undefined)
        await endWithin(client, vmi, { ...options, seconds: options.gracePeriodSeconds });
    },
  });
  return {
    "virtualmachines/start": put("start"),
    "virtualmachines/stop": put("stop"),
    "virtualmachines/restart": put("restart"),
  };
}

/**
 * Decided by what the API server has, not by a cache: who asks twice is told so.
 * @returns the VMI that is told to go or that is there
 */
async function changeState(
  client: Client,
  { namespace, name }: SubresourcePath,
  action: StateChangeAction,
  options: Options,
): Promise<VirtualMachineInstance | undefined> {
  const vms = client.resource(VIRTUAL_MACHINES).namespace(namespace);
  const vmis = client.resource(VIRTUAL_MACHINE_INSTANCES).namespace(namespace);
  for (let attempt = 1; ; attempt++) {
    const vm = await vms.get(name).catch(ignoreNotFound);
    if (vm === undefined) throw vmNotFound({ namespace, name });
    const namesake = await vmis.get(name).catch(ignoreNotFound);
    const vmi = namesake !== undefined && isControlledBy(namesake, vm) ? namesake : undefined;
    // Another grace period for a guest that shuts down already changes nothing of the VM.
    const isHurried = action === "stop" && options.gracePeriodSeconds !== undefined && vmi !== undefined;
    if (isHurried && vmi.metadata.deletionTimestamp !== undefined) return vmi;
    const change = stateChange(action, { vm, ...(vmi !== undefined && { vmi }) }, options);
    try {
      await write(client, vm, change, options.dryRun);
      return vmi;
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
      if (attempt === MAX_ATTEMPTS) {
        const message = `virtual machine ${namespace}/${name} changes all the time: try again`;
        throw new StatusError("Conflict", message, { cause: error });
      }
    }
  }
}

async function write(
  client: Client,
  vm: VirtualMachine,
  { requests, runStrategy }: StateChange,
  dryRun: boolean,
): Promise<void> {
  const { metadata, spec } = vm;
  const vms = client.resource(VIRTUAL_MACHINES).namespace(metadata.namespace);
  let { resourceVersion } = metadata;
  if (requests !== undefined) {
    const status = { ...vm.status, stateChangeRequests: [...requests] };
    const answer = await vms.updateStatus({ ...vm, status }, { dryRun });
    if (!dryRun) ({ resourceVersion } = answer.metadata);
  }
  if (runStrategy !== undefined) {
    const wanted = spec.running === undefined ? { runStrategy } : { running: runStrategy === "Always" };
    const patch = mergePatch({ metadata: { resourceVersion }, spec: wanted });
    await vms.patch(metadata.name ?? "", patch, { dryRun });
  }
}

/** The kubelet holds the launcher to it, and ends the guest with its pod. */
async function endWithin(
  client: Client,
  { metadata }: VirtualMachineInstance,
  { seconds, dryRun }: { readonly seconds: number; readonly dryRun: boolean },
): Promise<void> {
  const pods = client.resource(PODS).namespace(metadata.namespace);
  const gracePeriodSeconds = Math.max(seconds, MIN_GRACE_SECONDS);
  const { items } = await pods.list({ labelSelector: `${LABEL_CREATED_BY}=${metadata.uid}` });
  for (const { metadata: pod } of items) {
    if (!pod.ownerReferences?.some(({ uid }) => uid === metadata.uid)) continue;
    const preconditions = pod.uid === undefined ? {} : { uid: pod.uid };
    await pods.delete(pod.name ?? "", { gracePeriodSeconds, preconditions, dryRun }).catch(ignoreNotFound);
  }
}

/** @throws StatusError BadRequest */
function parseOptions(action: StateChangeAction, body: unknown): Options {
  const fields = (body ?? {}) as Readonly<Record<string, unknown>>;
  // KubeVirt's StopOptions and RestartOptions call it differently.
  const gracePeriod = fields["gracePeriod"] ?? fields["gracePeriodSeconds"];
  const isGrace = typeof gracePeriod === "number" && Number.isSafeInteger(gracePeriod) && gracePeriod >= 0;
  if (gracePeriod !== undefined && gracePeriod !== null && !isGrace)
    throw new StatusError(
      "BadRequest",
      `the grace period in the ${action} request must be whole seconds, 0 or more`,
    );
  if (isGrace && action === "start")
    throw new StatusError("BadRequest", "a start request has no grace period");
  return {
    paused: action === "start" && fields["paused"] === true,
    dryRun: isDryRun(action, body),
    ...(isGrace && { gracePeriodSeconds: gracePeriod }),
  };
}
