/** What the launcher pod and its node tell. Pure. */
import { DEVICE_KVM, DEVICE_LAUNCHER, DEVICE_TUN } from "../../api/names.ts";
import { conditionOf, type Facts, isRunning } from "./facts.ts";
import type { Finding } from "./finding.ts";

/** Why a VMI has no pod, as the operator says it. */
export function pod({ pods, vmi }: Facts): readonly (Finding | undefined)[] {
  const synchronized = conditionOf(vmi, "Synchronized");
  if (synchronized?.status !== "False") return [];
  const { message = "", reason = "" } = synchronized;
  const todo =
    todoOf(reason, message) ?? (pods.length === 0 ? "the VMI has no pod until that is mended" : undefined);
  return [{ level: "error", code: reason, what: message || reason, ...(todo !== undefined && { todo }) }];
}

const IMAGE_REASONS =
  /^(?:ErrImagePull|ImagePullBackOff|ErrImageNeverPull|InvalidImageName|ImageInspectError|RegistryUnavailable)$/;

function todoOf(reason: string, message: string): string | undefined {
  if (IMAGE_REASONS.test(reason))
    return "check the image's name and tag, whether the nodes reach its registry, and imagePullSecret";
  if (/exceeded quota/i.test(message)) return "ask for less memory or CPU, or for a larger ResourceQuota";
  if (/PodSecurity|violates/i.test(message))
    return "the namespace forbids the pod: a launcher needs the Pod Security level restricted at most";
  const known: Readonly<Record<string, string>> = {
    FailedCreate: "the API server refuses the pod: mend what it says; it is tried again",
    FailedPvcNotFound: "make the claim; the machine then starts by itself",
    PvcInUse: "stop the machine that has the claim, or give this one another",
    FailedMount: "make what the volume names; the kubelet tries again within two minutes",
    NotAnnounced: "see the logs of the operator and of the node's agent: are the two connected?",
    InvalidSpec: "change the machine's template as the message says",
  };
  return known[reason];
}

export function scheduling({ name, nodes, pods, unseen }: Facts): readonly (Finding | undefined)[] {
  const [newest] = pods;
  const scheduled = conditionOf(newest, "PodScheduled");
  if (scheduled?.status !== "False") return [];
  const message = scheduled.message ?? "no node takes it";
  const device = [DEVICE_LAUNCHER, DEVICE_KVM, DEVICE_TUN].find((one) => message.includes(one));
  const offers = nodes.filter(({ status }) => Number(status?.allocatable?.[device ?? ""] ?? 0) > 0);
  const cordoned = nodes
    .filter(({ spec }) => spec?.unschedulable === true)
    .map(({ metadata }) => metadata.name);
  return [
    {
      level: "error",
      code: "Unschedulable",
      what: `no node takes the pod of ${name}: ${message}`,
      todo: device === undefined ? unschedulableTodo(message) : deviceTodo(device, offers.length, unseen),
    },
    cordoned.length === 0
      ? undefined
      : {
          level: "warning",
          code: "NodeCordoned",
          what: `cordoned: ${cordoned.join(", ")}`,
          todo: "kubectl uncordon it when it may take pods again",
        },
  ];
}

function unschedulableTodo(message: string): string {
  if (/Insufficient (?:memory|cpu)/.test(message))
    return "ask for less (domain.memory, domain.resources), stop another machine, or add a node";
  if (/affinity|selector/.test(message))
    return "compare nodeSelector and affinity with kubectl get nodes --show-labels";
  if (/taint/.test(message)) return "add a toleration, or take the taint off";
  if (/PersistentVolumeClaim|volume/.test(message))
    return "see the claims of its volumes: kubectl describe pvc";
  return "the scheduler's words above say which of its wishes no node fulfils";
}

function deviceTodo(device: string, offering: number, unseen: readonly string[]): string {
  if (offering > 0) return `every ${device} is taken: stop another machine, or add a node`;
  const how = unseen.some((text) => text.startsWith("nodes")) ? "as far as can be seen, " : "";
  if (device === DEVICE_KVM)
    return `${how}no node has KVM: see kubectl logs -n virtpod daemonset/virtpod-agent -c probe, or install with useEmulation`;
  return `${how}no node offers ${device}: is the agent running there? kubectl get pods -n virtpod -o wide`;
}

export function containers({ pods }: Facts): readonly (Finding | undefined)[] {
  const [newest] = pods;
  if (newest === undefined) return [];
  const { containerStatuses = [], message, phase, reason } = newest.status ?? {};
  const ended: Finding | undefined =
    phase === "Failed"
      ? {
          level: "error",
          code: reason ?? "PodFailed",
          what: `the pod ${newest.metadata.name} has failed: ${message ?? reason ?? terminatedOf(newest) ?? "no reason was told"}`,
          ...(reason === "Evicted" && { todo: "the node was short of something: the message says of what" }),
        }
      : undefined;
  return [
    ended,
    ...containerStatuses.map(({ name, state }): Finding | undefined => {
      const waiting = state?.waiting;
      if (state?.terminated?.reason === "OOMKilled")
        return {
          level: "error",
          code: "OOMKilled",
          what: `the container ${name} was over its memory limit`,
          todo: "raise domain.resources.limits.memory, or leave the limit away",
        };
      if (waiting?.reason === undefined || /^(?:ContainerCreating|PodInitializing)$/.test(waiting.reason))
        return undefined;
      return {
        level: "error",
        code: waiting.reason,
        what: `the container ${name} can't start: ${waiting.message ?? waiting.reason}`,
        todo:
          todoOf(waiting.reason, waiting.message ?? "") ?? `see kubectl describe pod ${newest.metadata.name}`,
      };
    }),
  ];
}

function terminatedOf({ status }: Facts["pods"][number]): string | undefined {
  const terminated = status?.containerStatuses
    ?.map(({ state }) => state?.terminated)
    .find((one) => one !== undefined);
  return terminated === undefined
    ? undefined
    : `${terminated.reason ?? "ended"} (exit code ${terminated.exitCode})`;
}

export function node({ agent, nodes, pods }: Facts): readonly (Finding | undefined)[] {
  const nodeName = pods[0]?.spec?.nodeName;
  if (nodeName === undefined) return [];
  const found = nodes.find(({ metadata }) => metadata.name === nodeName);
  const ready = conditionOf(found, "Ready");
  const pressure = found?.status?.conditions?.filter(
    ({ type, status }) => /Pressure$/.test(type) && status === "True",
  );
  return [
    found !== undefined && ready?.status !== "True"
      ? {
          level: "error",
          code: "NodeNotReady",
          what: `the node ${nodeName} is not ready: ${ready?.message ?? "its kubelet tells nothing"}`,
          todo: "bring it back, or, once it is surely off, taint it node.kubernetes.io/out-of-service",
        }
      : undefined,
    ...(pressure ?? []).map(
      ({ type, message }): Finding => ({
        level: "warning",
        code: type,
        what: `the node ${nodeName} is under ${type}: ${message ?? ""}`,
      }),
    ),
    agent === null
      ? {
          level: "error",
          code: "AgentMissing",
          what: `the node ${nodeName} has no agent of virtpod`,
          todo: "see kubectl describe daemonset virtpod-agent -n virtpod: taints, node selector",
        }
      : undefined,
    agent !== null && agent !== undefined && !isRunning(agent)
      ? {
          level: "error",
          code: "AgentNotRunning",
          what: `the agent ${agent.metadata.name} of the node ${nodeName} is not running (${agent.status?.phase ?? "unknown"})`,
          todo: `see kubectl describe pod -n virtpod ${agent.metadata.name}`,
        }
      : undefined,
  ];
}
