/**
 * What of a changed template a running guest gets without a restart: its CPU request and limit, and how it may burst.
 * All else takes effect at its next start. Pure.
 */
import { isDeepStrictEqual } from "node:util";
import { ANNOTATION_STARTED_TEMPLATE, ANNOTATION_VM_GENERATION } from "../../api/names.ts";
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { type JsonPatchOperation, jsonPatch, type Patch } from "../../kube/request.ts";
import { compareQuantities } from "../../lib/quantity.ts";
import { isDedicated } from "../vmi/dedicated-cpu.ts";
import { vcpuCount } from "../vmi/domain.ts";
import { isFinal } from "../vmi/status.ts";

type Template = VirtualMachine["spec"]["template"];
type Domain = Template["spec"]["domain"];
type Resources = NonNullable<Domain["resources"]>;

/** The VMI as it is to be. */
export interface LiveUpdate {
  readonly cpu?: Domain["cpu"];
  readonly resources?: Resources;
  /** By name: what the VMI was started from is told as if it had been started so. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** undefined where there is nothing to change, or nothing that a running guest could be given. */
export function liveUpdate(vm: VirtualMachine, vmi: VirtualMachineInstance): LiveUpdate | undefined {
  if (isFinal(vmi) || vmi.metadata.deletionTimestamp !== undefined) return undefined;
  const started = startedTemplate(vmi);
  if (started === undefined) return undefined;
  const wanted = changedLive(started, vm.spec.template);
  if (isDeepStrictEqual(wanted, started) || !isPossible(started, wanted)) return undefined;
  const { cpu, resources } = wanted.spec.domain;
  // What a running guest can't be given is left for the next start, and so is the VM's generation.
  const isAll = isDeepStrictEqual(wanted, vm.spec.template);
  return {
    ...(cpu === undefined ? {} : { cpu }),
    ...(resources === undefined ? {} : { resources }),
    annotations: {
      [ANNOTATION_STARTED_TEMPLATE]: JSON.stringify(wanted),
      ...(isAll ? { [ANNOTATION_VM_GENERATION]: String(vm.metadata.generation ?? 0) } : {}),
    },
  };
}

/** The VMI once the update is written. */
export function updated(vmi: VirtualMachineInstance, update: LiveUpdate): VirtualMachineInstance {
  const { annotations, cpu, resources } = update;
  const { cpu: _, resources: __, ...domain } = vmi.spec.domain;
  return {
    ...vmi,
    metadata: { ...vmi.metadata, annotations: { ...vmi.metadata.annotations, ...annotations } },
    spec: {
      ...vmi.spec,
      domain: {
        ...domain,
        ...(cpu === undefined ? {} : { cpu }),
        ...(resources === undefined ? {} : { resources }),
      },
    },
  };
}

/** The API server refuses it (422) when the VMI has been updated meanwhile. */
export function livePatch(vmi: VirtualMachineInstance, update: LiveUpdate): Patch {
  const path = (name: string) => `/metadata/annotations/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
  const started = path(ANNOTATION_STARTED_TEMPLATE);
  const value = vmi.metadata.annotations?.[ANNOTATION_STARTED_TEMPLATE];
  const { domain } = vmi.spec;
  const fields = (["cpu", "resources"] as const).flatMap((name): JsonPatchOperation[] => {
    const wanted = update[name];
    if (wanted !== undefined) return [{ op: "add", path: `/spec/domain/${name}`, value: wanted }];
    return domain[name] === undefined ? [] : [{ op: "remove", path: `/spec/domain/${name}` }];
  });
  return jsonPatch(
    { op: "test", path: started, value },
    ...Object.entries(update.annotations).map(
      ([name, text]): JsonPatchOperation => ({ op: "add", path: path(name), value: text }),
    ),
    ...fields,
  );
}

/** undefined as well for what is no JSON: nobody but the operator may write the annotation, so nothing is known then. */
export function startedTemplate({ metadata }: VirtualMachineInstance): Template | undefined {
  try {
    const text = metadata.annotations?.[ANNOTATION_STARTED_TEMPLATE];
    return text === undefined ? undefined : (JSON.parse(text) as Template);
  } catch {
    return undefined;
  }
}

/** The started template with the present one's CPU amounts and burst. */
function changedLive(started: Template, { spec }: Template): Template {
  const { domain } = started.spec;
  const present = spec.domain;
  const cpu = unlessEmpty(withField(domain.cpu, "burst", present.cpu?.burst), present.cpu);
  const resources = unlessEmpty(withCpu(domain.resources, present.resources), present.resources);
  return {
    ...started,
    spec: {
      ...started.spec,
      domain: withField(withField(domain, "cpu", cpu), "resources", resources) as Domain,
    },
  };
}

function withCpu(started: Resources | undefined, present: Resources | undefined): Resources | undefined {
  const limits = unlessEmpty(withField(started?.limits, "cpu", present?.limits?.cpu), present?.limits);
  const requests = unlessEmpty(
    withField(started?.requests, "cpu", present?.requests?.cpu),
    present?.requests,
  );
  return withField(withField(started, "limits", limits), "requests", requests);
}

/** An object whose last field has gone goes with it, where the present one has none either. */
function unlessEmpty<T extends object>(object: T | undefined, present: T | undefined): T | undefined {
  const isEmpty = object !== undefined && Object.keys(object).length === 0;
  return isEmpty && present === undefined ? undefined : object;
}

/** The object with the field so, or without it; undefined where neither was there. In its place where it had one. */
function withField<T extends object, K extends keyof T>(
  object: T | undefined,
  name: K,
  value: T[K] | undefined,
): T | undefined {
  if (value !== undefined) return { ...(object as T), [name]: value };
  if (object === undefined || !(name in object)) return object;
  const { [name]: _, ...rest } = object;
  return rest as unknown as T;
}

/** What the kubelet changes in a running pod: no amount may go, no dedicated CPU, nor QoS class and vCPUs change. */
function isPossible(started: Template, wanted: Template): boolean {
  const [before, after] = [started.spec.domain, wanted.spec.domain];
  return (
    !isDedicated(started.spec) &&
    vcpuCount(started.spec) === vcpuCount(wanted.spec) &&
    !(before.resources?.limits?.cpu !== undefined && after.resources?.limits?.cpu === undefined) &&
    !(before.resources?.requests?.cpu !== undefined && requestOf(after) === undefined) &&
    isGuaranteed(before) === isGuaranteed(after)
  );
}

function requestOf({ resources }: Domain) {
  return resources?.requests?.cpu ?? resources?.limits?.cpu;
}

/** Requests equal limits, of CPU and of memory. */
function isGuaranteed(domain: Domain): boolean {
  const { limits, overcommitGuestOverhead, requests } = domain.resources ?? {};
  const [cpu, memory] = [requestOf(domain), requests?.memory ?? limits?.memory];
  return (
    limits?.cpu !== undefined &&
    limits.memory !== undefined &&
    cpu !== undefined &&
    memory !== undefined &&
    overcommitGuestOverhead !== true &&
    compareQuantities(cpu, limits.cpu) === 0 &&
    compareQuantities(memory, limits.memory) === 0
  );
}
