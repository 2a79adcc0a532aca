/** Interfaces of a VMI whose guest may send what it likes, and whether the installation allows that; pure. */
import type { LaunchInterface } from "../../api/launch-spec.ts";
import { ANNOTATION_UNGUARDED_INTERFACES } from "../../api/names.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Problem } from "./problem.ts";

export interface NetworkPolicy {
  /** Guests that are routers or bridges for others: without the guard on the interfaces that they name. */
  readonly allowUnguardedInterfaces: boolean;
}

/** Names that the annotation lists, whatever interfaces there are. */
export function unguardedInterfaces({ metadata }: VirtualMachineInstance): readonly string[] {
  const listed = metadata.annotations?.[ANNOTATION_UNGUARDED_INTERFACES]?.split(",") ?? [];
  return listed.map((name) => name.trim()).filter((name) => name !== "");
}

/** Why the VMI can't have them; undefined when it can. What is misspelt is told, and never just left guarded. */
export function unguardedProblem(
  vmi: VirtualMachineInstance,
  interfaces: readonly Pick<LaunchInterface, "name" | "binding">[],
  { allowUnguardedInterfaces }: NetworkPolicy,
): Problem | undefined {
  const named = unguardedInterfaces(vmi);
  if (named.length === 0) return undefined;
  if (!allowUnguardedInterfaces) {
    return {
      reason: "UnguardedInterfaceNotAllowed",
      message: `annotation ${ANNOTATION_UNGUARDED_INTERFACES}: this installation doesn't allow it; whoever runs it can set the chart's value allowUnguardedInterfaces`,
    };
  }
  const bridged = interfaces.filter(({ binding }) => binding === "bridge");
  const stranger = named.find((name) => !bridged.some((one) => one.name === name));
  if (stranger === undefined) return undefined;
  return {
    reason: "UnguardedInterfaceUnknown",
    message: `annotation ${ANNOTATION_UNGUARDED_INTERFACES}: ${stranger} is no interface with the bridge binding; write names of such interfaces, separated by commas`,
  };
}
