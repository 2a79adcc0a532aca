/** What was found out about the node before the agent started. */
import { readFile } from "node:fs/promises";
import type { NodeFacts } from "../api/uplink-protocol.ts";
import { errno } from "./errors.ts";

/**
 * Reads what the probe wrote. Where it wrote nothing, or nothing readable, KVM counts as unusable: guests then run
 * under emulation or wait for another node, where a wrong yes would hang them.
 */
export async function readNodeFacts(path: string, agentVersion: string): Promise<NodeFacts> {
  try {
    return { kvm: parseKvm(await readFile(path, "utf8")), agentVersion };
  } catch (error) {
    const reason =
      errno(error) === "ENOENT"
        ? "the probe has left no result on this node"
        : `the probe's result is unreadable: ${error instanceof Error ? error.message : String(error)}`;
    return { kvm: { usable: false, reason }, agentVersion };
  }
}

/** @throws Error where the text does not have the probe's shape */
export function parseKvm(text: string): NodeFacts["kvm"] {
  const kvm = (JSON.parse(text) as { readonly kvm?: Partial<NodeFacts["kvm"]> } | null)?.kvm;
  if (typeof kvm?.usable !== "boolean" || typeof kvm.reason !== "string") {
    throw new Error("it lacks kvm.usable or kvm.reason");
  }
  return { usable: kvm.usable, reason: kvm.reason };
}
