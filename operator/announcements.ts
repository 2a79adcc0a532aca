/** What each node's agent is told of its launchers and of the configuration, and when there is something new. */
import { nodeBurstStrategy } from "../api/cpu-burst.ts";
import type { VirtualMachineInstance } from "../api/virtual-machine-instance.ts";
import type { Node, Pod } from "../kube/resources.ts";
import { BY_NODE, type Caches, isPodOf, vmiKeyOf } from "./caches.ts";
import type { LiveConfiguration } from "./configuration/live.ts";
import type { Announced, Announcer } from "./uplink/announcer.ts";
import { announcedLauncher } from "./vmi/announcement.ts";
import { isOver, podFacts } from "./vmi/pod-facts.ts";

/** Of launchers those that the node's agent may serve: pods of ours that still have something to serve. */
export function announcementFor(
  caches: Pick<Caches, "nodes" | "pods" | "vmis">,
  { inForce }: Pick<LiveConfiguration, "inForce">,
  nodeName: string,
): Announced {
  const { configuration, version } = inForce;
  const labels = caches.nodes.get(nodeName)?.metadata.labels ?? {};
  const burst = nodeBurstStrategy(configuration.cpuBurst, labels);
  const launchers = caches.pods.byIndex(BY_NODE, nodeName).flatMap((pod) => {
    const key = vmiKeyOf(pod);
    const vmi = key === undefined ? undefined : caches.vmis.get(key);
    const facts = podFacts(pod);
    return vmi === undefined || !isPodOf(pod, vmi) || isOver(facts)
      ? []
      : (announcedLauncher(vmi, facts, burst) ?? []);
  });
  const { logLevel } = configuration;
  const { sharePoolThresholdPercent } = burst;
  return { launchers, settings: { version, logLevel, sharePoolThresholdPercent } };
}

/** @param connected nodes whose agents are connected */
export function announceChanges(
  caches: Pick<Caches, "nodes" | "pods" | "vmis">,
  live: LiveConfiguration,
  announcer: Announcer,
  connected: () => Iterable<string>,
): void {
  const announcePod = ({ spec }: Pod) => {
    if (spec.nodeName !== undefined) announcer.announce(spec.nodeName);
  };
  caches.pods.addHandler({
    name: "announcer",
    onAdd: announcePod,
    onUpdate: (_previous, pod) => announcePod(pod),
    onDelete: announcePod,
  });
  const announceInstance = ({ status }: VirtualMachineInstance) => {
    if (status?.nodeName !== undefined) announcer.announce(status.nodeName);
  };
  caches.vmis.addHandler({
    name: "announcer",
    // Its CPU and how it bursts are in its spec, which only a change of the spec can change.
    onUpdate: (previous, vmi) => {
      if (previous.metadata.generation !== vmi.metadata.generation) announceInstance(vmi);
    },
  });
  const announceNode = ({ metadata }: Node) => announcer.announce(metadata.name);
  caches.nodes.addHandler({
    name: "announcer",
    onAdd: announceNode,
    onUpdate: (_previous, node) => announceNode(node),
  });
  live.on("change", () => {
    for (const nodeName of connected()) announcer.announce(nodeName);
  });
}
