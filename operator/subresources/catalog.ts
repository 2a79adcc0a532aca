/** Every subresource by name: what is served, and what KubeVirt has besides, refused with what to do instead. */
import { OWN_SUBRESOURCES_GROUP, SUBRESOURCES_GROUP } from "../../api/names.ts";

export interface Served {
  /** Resource and subresource; a resource alone where it is asked for by namespace. */
  readonly name: string;
  /** That RBAC knows it by. */
  readonly verb: "get" | "update";
  readonly kind: "VirtualMachine" | "VirtualMachineInstance";
  /** A websocket. */
  readonly isStream?: true;
}

const vm = (subresource: string, verb: Served["verb"]): Served => ({
  name: `virtualmachines/${subresource}`,
  verb,
  kind: "VirtualMachine",
});
const vmi = (subresource: string, verb: Served["verb"]): Served => ({
  name: `virtualmachineinstances/${subresource}`,
  verb,
  kind: "VirtualMachineInstance",
});
const stream = (served: Served): Served => ({ ...served, isStream: true });

export const EXPAND_SPEC_RESOURCE = "expand-vm-spec";

/** By group. */
export const SERVED: Readonly<Record<string, readonly Served[]>> = {
  [SUBRESOURCES_GROUP]: [
    stream(vmi("console", "get")),
    stream(vmi("vnc", "get")),
    vmi("vnc/screenshot", "get"),
    stream(vmi("portforward", "get")),
    vmi("guestosinfo", "get"),
    vmi("userlist", "get"),
    vmi("filesystemlist", "get"),
    vmi("freeze", "update"),
    vmi("unfreeze", "update"),
    vmi("pause", "update"),
    vmi("unpause", "update"),
    vmi("reset", "update"),
    vmi("softreboot", "update"),
    vm("start", "update"),
    vm("stop", "update"),
    vm("restart", "update"),
    stream(vm("portforward", "get")),
    vm("expand-spec", "get"),
    { name: EXPAND_SPEC_RESOURCE, verb: "update", kind: "VirtualMachine" },
  ],
  [OWN_SUBRESOURCES_GROUP]: [vmi("network", "get"), vmi("usage", "get")],
};

export function isStream(group: string, name: string): boolean {
  return SERVED[group]?.some((served) => served.name === name && served.isStream === true) ?? false;
}

const VOLUMES =
  "virtpod plugs no volume into a guest that runs: change the template of its virtual machine and restart it";
const SEV = "virtpod runs no guest in encrypted memory";
const EVACUATION = "virtpod evacuates no guest by migration, so there is nothing to cancel";
const GRAPH = "virtpod draws no graph of a machine's objects: kubectl get vm,vmi,pod,pvc lists them";
const BACKUP = "virtpod backs up no guest by itself: freeze it, and have the storage take a snapshot";
const DUMP = "virtpod dumps no guest's memory";

/** What KubeVirt has, and virtpod has not. Whoever may ask is told so by name. */
const REFUSED: Readonly<Record<string, string>> = {
  "virtualmachines/migrate":
    "virtpod moves no running guest to another node yet: stop the virtual machine and start it, and the scheduler chooses a node",
  "virtualmachines/addvolume": VOLUMES,
  "virtualmachines/removevolume": VOLUMES,
  "virtualmachines/memorydump": DUMP,
  "virtualmachines/removememorydump": DUMP,
  "virtualmachines/objectgraph": GRAPH,
  "virtualmachines/evacuate/cancel": EVACUATION,
  "virtualmachineinstances/addvolume": VOLUMES,
  "virtualmachineinstances/removevolume": VOLUMES,
  "virtualmachineinstances/objectgraph": GRAPH,
  "virtualmachineinstances/evacuate/cancel": EVACUATION,
  "virtualmachineinstances/usbredir": "virtpod redirects no USB devices",
  "virtualmachineinstances/vsock": "virtpod gives no guest a vsock device: forward a port instead",
  "virtualmachineinstances/backup": BACKUP,
  "virtualmachineinstances/redefine-checkpoint": BACKUP,
  "virtualmachineinstances/sev/fetchcertchain": SEV,
  "virtualmachineinstances/sev/querylaunchmeasurement": SEV,
  "virtualmachineinstances/sev/setupsession": SEV,
  "virtualmachineinstances/sev/injectlaunchsecret": SEV,
};

export const REFUSED_NAMES: readonly string[] = Object.keys(REFUSED);

/** Asked for without namespace. */
const REFUSED_ROOT: Readonly<Record<string, string>> = {
  guestfs: "virtpod has no image of libguestfs' tools: name one with virtctl guestfs --image",
};

/** Why KubeVirt's subresource of this name is not served; undefined for a name that it doesn't have either. */
export function refusal(group: string, name: string): string | undefined {
  return group === SUBRESOURCES_GROUP && Object.hasOwn(REFUSED, name) ? REFUSED[name] : undefined;
}

/** As `refusal`, of what is below the group's version itself. */
export function rootRefusal(group: string, name: string): string | undefined {
  return group === SUBRESOURCES_GROUP && Object.hasOwn(REFUSED_ROOT, name) ? REFUSED_ROOT[name] : undefined;
}
