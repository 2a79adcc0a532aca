/** PersistentVolumeClaims as far as decisions need them, and what is wrong with those that a VMI names; pure. */
import type { Disk } from "../../api/disks.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { PersistentVolumeClaim } from "../../kube/resources.ts";
import { parseQuantity } from "../../lib/quantity.ts";
import { slimMetadata } from "../kinds.ts";
import { disksOf } from "./default-disks.ts";
import { isReadOnly } from "./disks.ts";

type Spec = VirtualMachineInstance["spec"];

export interface ClaimFacts {
  readonly phase: "Pending" | "Bound" | "Lost";
  readonly volumeMode: "Filesystem" | "Block";
  readonly accessModes: readonly string[];
  /** Of the volume, or, before there is one, what it will have at least. */
  readonly capacityBytes: number;
}

/** By name, all of one namespace. */
export type Claims = ReadonlyMap<string, ClaimFacts>;

export const NO_CLAIMS: Claims = new Map();

export interface ClaimProblem {
  readonly reason: string;
  readonly message: string;
}

export function claimFacts({ spec, status }: PersistentVolumeClaim): ClaimFacts {
  const capacity = status?.capacity?.["storage"] ?? spec?.resources?.requests?.["storage"] ?? "0";
  return {
    phase: status?.phase ?? "Pending",
    volumeMode: spec?.volumeMode ?? "Filesystem",
    accessModes: spec?.accessModes ?? [],
    capacityBytes: Math.floor(parseQuantity(capacity)),
  };
}

/** Keeps of a claim what `claimFacts` reads. */
export function slimClaim({
  apiVersion,
  kind,
  metadata,
  spec,
  status,
}: PersistentVolumeClaim): PersistentVolumeClaim {
  const { volumeMode, accessModes, resources } = spec ?? {};
  const requested = resources?.requests?.["storage"];
  const { phase, capacity } = status ?? {};
  return {
    apiVersion,
    kind,
    metadata: slimMetadata(metadata),
    spec: {
      ...(volumeMode === undefined ? {} : { volumeMode }),
      ...(accessModes === undefined ? {} : { accessModes }),
      ...(requested === undefined ? {} : { resources: { requests: { storage: requested } } }),
    },
    status: {
      ...(phase === undefined ? {} : { phase }),
      ...(capacity?.["storage"] === undefined ? {} : { capacity: { storage: capacity["storage"] } }),
    },
  };
}

/** Names of the claims that a VMI's volumes use, each once. */
export function claimNames(spec: Spec): string[] {
  const names = (spec.volumes ?? []).flatMap(
    ({ persistentVolumeClaim, ephemeral }) =>
      persistentVolumeClaim?.claimName ?? ephemeral?.persistentVolumeClaim.claimName ?? [],
  );
  return [...new Set(names)];
}

/** Why a VMI can't start on its claims; undefined when it can, also where one is yet to be bound. */
export function claimProblem(spec: Spec, claims: Claims): ClaimProblem | undefined {
  const missing = claimNames(spec).filter((name) => !claims.has(name));
  if (missing.length > 0) {
    const [is, them] = missing.length === 1 ? ["is", "it"] : ["are", "them"];
    return {
      reason: "FailedPvcNotFound",
      message: `PersistentVolumeClaim ${missing.join(", ")} ${is} missing: create ${them} in the VM's namespace`,
    };
  }
  const lost = claimNames(spec).find((name) => claims.get(name)?.phase === "Lost");
  if (lost !== undefined) {
    return {
      reason: "FailedPvcLost",
      message: `PersistentVolumeClaim ${lost} has lost its volume: restore the volume, or make the claim anew`,
    };
  }
  return disksOf(spec)
    .map((disk) => misuse(spec, disk, claims))
    .find((problem) => problem !== undefined);
}

/** A disk that its claim can't be used for. */
function misuse(spec: Spec, disk: Disk, claims: Claims): ClaimProblem | undefined {
  const volume = spec.volumes?.find(({ name }) => name === disk.name);
  const claimName = volume?.persistentVolumeClaim?.claimName;
  const claim = claims.get(claimName ?? "");
  if (volume === undefined || claim === undefined) return undefined;
  const { accessModes, volumeMode } = claim;
  const refusal = (reason: string, message: string) => ({
    reason,
    message: `PersistentVolumeClaim ${claimName} of disk ${disk.name} ${message}`,
  });
  if (accessModes.every((mode) => mode === "ReadOnlyMany") && !isReadOnly(disk, volume)) {
    return refusal(
      "FailedPvcAccessMode",
      "has the access mode ReadOnlyMany, and the disk is written: set readOnly, show it as a cdrom, or use an ephemeral volume",
    );
  }
  if (accessModes.includes("ReadWriteOncePod") && disk.shareable === true) {
    return refusal(
      "FailedPvcAccessMode",
      "has the access mode ReadWriteOncePod: no second pod can use it, so the disk can't be shareable",
    );
  }
  if (volumeMode === "Filesystem" && disk.lun !== undefined) {
    return refusal("FailedPvcVolumeMode", "has the volumeMode Filesystem, and a lun needs Block");
  }
  return undefined;
}

/** Names of the claims that wait to be bound to a volume. */
export function unboundClaims(spec: Spec, claims: Claims): string[] {
  return claimNames(spec).filter((name) => claims.get(name)?.phase === "Pending");
}
