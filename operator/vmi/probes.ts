/** The launcher container's probes: the guest's own, as the kubelet can ask them; pure. */
import { LAUNCHER_PATHS } from "../../api/names.ts";
import type { GuestProbe } from "../../api/probes.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Container, Probe } from "../../kube/resources.ts";

/** The API server's default. */
const DEFAULT_TIMEOUT_SECONDS = 1;

/**
 * httpGet and tcpSocket go to the pod's address, and so to the guest; exec and guestAgentPing are asked of the
 * launcher, in its container, which asks the guest agent.
 */
export function probesOf({
  readinessProbe,
  livenessProbe,
}: VirtualMachineInstance["spec"]): Pick<Container, "readinessProbe" | "livenessProbe"> {
  return {
    ...(readinessProbe === undefined ? {} : { readinessProbe: containerProbe("readiness", readinessProbe) }),
    ...(livenessProbe === undefined ? {} : { livenessProbe: containerProbe("liveness", livenessProbe) }),
  };
}

function containerProbe(kind: "readiness" | "liveness", probe: GuestProbe): Probe {
  const { exec, guestAgentPing, ...rest } = structuredClone(probe) as GuestProbe;
  const what = exec === undefined ? ["ping"] : ["exec", ...exec.command];
  if (exec === undefined && guestAgentPing === undefined) return rest as Probe;
  const seconds = String(probe.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS);
  return { ...(rest as Probe), exec: { command: [LAUNCHER_PATHS.probe, kind, seconds, ...what] } };
}
