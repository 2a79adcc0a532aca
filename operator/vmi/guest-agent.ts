/** What a guest's agent tells, merged into the VMI's status as KubeVirt does. Pure. */
import type { GuestInterface } from "../../api/guest-agent.ts";
import type { LauncherStatus } from "../../api/launcher-protocol.ts";
import type { VirtualMachineInstanceStatus } from "../../api/virtual-machine-instance-status.ts";
import type { WantedCondition } from "./conditions.ts";

type InterfaceStatus = NonNullable<VirtualMachineInstanceStatus["interfaces"]>[number];

/** Conditions of a running guest's agent; absent ones don't hold, as in KubeVirt. */
export function guestAgentConditions({ guestAgent, accessCredentials }: LauncherStatus): WantedCondition[] {
  const conditions: WantedCondition[] = [];
  if (guestAgent !== undefined) conditions.push({ type: "AgentConnected", status: "True" });
  if (guestAgent?.unsupported !== undefined) {
    conditions.push({
      type: "AgentVersionNotSupported",
      status: "True",
      reason: "RequiredCommandsMissing",
      message: guestAgent.unsupported,
    });
  }
  if (accessCredentials !== undefined) {
    const { synchronized, message } = accessCredentials;
    conditions.push({
      type: "AccessCredentialsSynchronized",
      status: synchronized ? "True" : "False",
      reason: synchronized ? "AccessCredentialsSyncSuccess" : "AccessCredentialsSyncFailed",
      ...(message === "" ? {} : { message }),
    });
  }
  return conditions;
}

/** The guest's system, of which the last word stands when the agent has gone, and whether its disks are frozen. */
export function guestStatus({
  guestAgent,
}: LauncherStatus): Pick<VirtualMachineInstanceStatus, "guestOSInfo" | "fsFreezeStatus"> {
  return {
    ...(guestAgent?.os === undefined ? {} : { guestOSInfo: guestAgent.os }),
    ...(guestAgent?.frozen ? { fsFreezeStatus: "frozen" } : {}),
  };
}

/**
 * The VMI's interfaces with what the agent knows of them, told apart by MAC address, then those that only the guest
 * knows of.
 */
export function mergeInterfaces(
  own: readonly InterfaceStatus[],
  told: readonly GuestInterface[],
): InterfaceStatus[] {
  const byMac = new Map(told.map((iface) => [iface.macAddress, iface] as const).reverse());
  const taken = new Set<GuestInterface>();
  const merged = own.map((iface) => {
    const guest = iface.mac === undefined ? undefined : byMac.get(iface.mac.toLowerCase());
    if (guest === undefined) return iface;
    taken.add(guest);
    return withGuest(iface, guest);
  });
  return [...merged, ...told.filter((iface) => !taken.has(iface)).map(guestOnly)];
}

function withGuest(iface: InterfaceStatus, guest: GuestInterface): InterfaceStatus {
  const { ipAddress: _, ...rest } = iface;
  return {
    ...rest,
    infoSource: "domain, guest-agent",
    interfaceName: guest.interfaceName,
    ...addresses(reachable(iface.ipAddresses ?? [], guest.ipAddresses)),
  };
}

function guestOnly({ interfaceName, macAddress, ipAddresses }: GuestInterface): InterfaceStatus {
  return {
    interfaceName,
    infoSource: "guest-agent",
    ...(macAddress === undefined ? {} : { mac: macAddress }),
    ...addresses(ipAddresses),
  };
}

/**
 * Of each family the pod's own addresses where there are any, for they are what others reach; but none where the
 * guest has none of that family: nothing would answer.
 */
function reachable(own: readonly string[], guest: readonly string[]): readonly string[] {
  return [isIpv4, isIpv6].flatMap((isOfFamily) => {
    const ownOfFamily = own.filter(isOfFamily);
    const guestOfFamily = guest.filter(isOfFamily);
    return ownOfFamily.length > 0 && guestOfFamily.length > 0 ? ownOfFamily : guestOfFamily;
  });
}

function addresses(all: readonly string[]): Pick<InterfaceStatus, "ipAddress" | "ipAddresses"> {
  const first = all.find(isIpv4) ?? all[0];
  return { ipAddresses: [...all], ...(first === undefined ? {} : { ipAddress: first }) };
}

function isIpv4(address: string): boolean {
  return !address.includes(":");
}

function isIpv6(address: string): boolean {
  return address.includes(":");
}
