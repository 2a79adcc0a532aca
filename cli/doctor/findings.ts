/** Why a virtual machine doesn't run: from facts to findings, the root of the trouble first. Pure. */
import { DEVICE_KVM, DEVICE_LAUNCHER, DEVICE_TUN, SUBRESOURCES_GROUP } from "../../api/names.ts";
import { conditionOf, type Facts, timeOf } from "./facts.ts";

export interface Finding {
  /** error: it keeps the machine from running. warning: it may. */
  readonly level: "error" | "warning" | "note";
  /** For programs. */
  readonly code: string;
  /** What is the matter, on which object. */
  readonly what: string;
  /** What to do about it. */
  readonly todo?: string;
}

/** From the outside in: what is found first may explain what follows. */
const EXAMINATIONS: readonly ((facts: Facts) => readonly (Finding | undefined)[])[] = [
  installation,
  existence,
  wantedState,
  deletion,
  claims,
  restarts,
  pod,
  scheduling,
  containers,
  node,
  instance,
  guest,
];

export function findingsOf(facts: Facts): readonly Finding[] {
  const found = EXAMINATIONS.flatMap((examine) => examine(facts)).filter((finding) => finding !== undefined);
  const codes = new Set<string>();
  const once = found.filter(({ code, what }) => {
    const key = `${code} ${what}`;
    if (codes.has(key)) return false;
    codes.add(key);
    return true;
  });
  const rank = { error: 0, warning: 1, note: 2 } as const;
  return once.toSorted((a, b) => rank[a.level] - rank[b.level]);
}

function installation({ isInstalled, operatorProblem }: Facts): readonly (Finding | undefined)[] {
  if (!isInstalled)
    return [
      {
        level: "error",
        code: "NotInstalled",
        what: "the cluster knows no VirtualMachines",
        todo: "install virtpod: helm install virtpod charts/virtpod",
      },
    ];
  return [
    operatorProblem === undefined
      ? undefined
      : {
          level: "error",
          code: "OperatorAway",
          what: `no operator of virtpod can be reached: ${operatorProblem}`,
          todo: `see kubectl get pods -n virtpod and kubectl describe apiservice v1.${SUBRESOURCES_GROUP}`,
        },
  ];
}

function existence({ isInstalled, name, namespace, vm, vmi }: Facts): readonly (Finding | undefined)[] {
  if (!isInstalled || vm !== undefined || vmi !== undefined) return [];
  return [
    {
      level: "error",
      code: "NotFound",
      what: `there is no virtual machine ${name} in the namespace ${namespace}`,
      todo: "look in another namespace with -n, or at kubectl get vm --all-namespaces",
    },
  ];
}

function wantedState({ name, vm, vmi }: Facts): readonly (Finding | undefined)[] {
  if (vm === undefined) return [];
  const strategy = vm.spec.runStrategy ?? (vm.spec.running === true ? "Always" : "Halted");
  const start = `virtpod start ${name}`;
  if (vmi !== undefined && vmi.status?.phase !== "Succeeded" && vmi.status?.phase !== "Failed") return [];
  const completed = conditionOf(vm, "Completed");
  if (strategy === "Halted")
    return [
      {
        level: "error",
        code: "Halted",
        what: `${name} is not to run: its run strategy is Halted`,
        todo: start,
      },
    ];
  if (completed?.status === "True")
    return [
      {
        level: "error",
        code: "Completed",
        what: `the guest has ended, and ${strategy} starts no other: ${completed.message ?? completed.reason ?? ""}`,
        todo: strategy === "Once" ? "give it another run strategy" : start,
      },
    ];
  if (strategy === "Manual" && vmi === undefined)
    return [
      {
        level: "error",
        code: "NotStarted",
        what: `${name} waits to be started: its run strategy is Manual`,
        todo: start,
      },
    ];
  return [];
}

/** A finalizer that nobody takes off: the operator is away, or the pod can't end. */
function deletion({ nowMs, pods, vm, vmi }: Facts): readonly (Finding | undefined)[] {
  const named = [["VM", vm], ["VMI", vmi], ...pods.map((one) => ["pod", one] as const)] as const;
  return named.map(([kind, object]) => {
    const { deletionTimestamp, finalizers = [], name } = object?.metadata ?? {};
    if (deletionTimestamp === undefined) return undefined;
    const seconds = Math.max(0, Math.round((nowMs - Date.parse(deletionTimestamp)) / 1000));
    const holds = finalizers.length === 0 ? "" : `, held by ${finalizers.join(", ")}`;
    return {
      level: seconds > 120 ? "error" : "warning",
      code: "BeingDeleted",
      what: `the ${kind} ${name} is being deleted since ${seconds} s${holds}`,
      todo: "wait for the guest to power off; it ends at its grace period, or now by virtpod stop --force",
    };
  });
}

function claims({ claims: named, events, pods }: Facts): readonly (Finding | undefined)[] {
  return Object.entries(named).map(([name, claim]) => {
    if (claim === undefined)
      return {
        level: "error",
        code: "ClaimMissing",
        what: `the PersistentVolumeClaim ${name} doesn't exist`,
        todo: "make it, or name another in the machine's volumes; the machine then starts by itself",
      };
    if (claim.status?.phase === "Lost")
      return {
        level: "error",
        code: "ClaimLost",
        what: `the PersistentVolumeClaim ${name} has lost its volume`,
        todo: `see kubectl describe pvc ${name}`,
      };
    if (claim.status?.phase !== "Pending" || pods.some(isRunning)) return undefined;
    const why = events.find(
      ({ involvedObject }) =>
        involvedObject?.kind === "PersistentVolumeClaim" && involvedObject.name === name,
    )?.message;
    return {
      level: "error",
      code: "ClaimPending",
      what: `the PersistentVolumeClaim ${name} has no volume yet${why === undefined ? "" : `: ${why}`}`,
      todo: `see kubectl describe pvc ${name}${claim.spec?.storageClassName ? `; its storage class is ${claim.spec.storageClassName}` : ""}`,
    };
  });
}

function restarts({ events, name, vm }: Facts): readonly (Finding | undefined)[] {
  const { consecutiveFailCount = 0 } = vm?.status?.startFailure ?? {};
  const failure = conditionOf(vm, "Failure");
  if (failure?.reason === "InstanceNotOwned")
    return [
      {
        level: "error",
        code: "InstanceNotOwned",
        what: `a VirtualMachineInstance ${name} is there that this machine didn't make`,
        todo: `delete it (kubectl delete vmi ${name}), or rename the machine`,
      },
    ];
  if (consecutiveFailCount === 0) return [];
  const stopped = events.find(({ reason }) => reason === "Stopped")?.message;
  const said = failure?.message ?? stopped ?? "no reason was told";
  return [
    {
      level: "error",
      code: "CrashLoop",
      what: `${name} failed ${times(consecutiveFailCount)} in a row: ${said}`,
      todo: `watch its next start: virtpod console ${name}, kubectl logs -f --selector vm.kubevirt.io/name=${name}; virtpod start ${name} doesn't wait for it`,
    },
  ];
}

/** Why a VMI has no pod, as the operator says it. */
function pod({ pods, vmi }: Facts): readonly (Finding | undefined)[] {
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

function scheduling({ name, nodes, pods, unseen }: Facts): readonly (Finding | undefined)[] {
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

function containers({ pods }: Facts): readonly (Finding | undefined)[] {
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

function node({ agent, nodes, pods }: Facts): readonly (Finding | undefined)[] {
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

/** How the VMI ended, what holds it, and what it waits for. */
function instance({ events, name, nowMs, pods, vm, vmi }: Facts): readonly (Finding | undefined)[] {
  const { phase, reason } = vmi?.status ?? {};
  if (vmi === undefined || phase === undefined) return waitingForOperator(vm, vmi, nowMs);
  const paused = conditionOf(vmi, "Paused");
  const stopped = events.find(
    ({ reason: why, involvedObject }) => why === "Stopped" && involvedObject?.name === name,
  );
  return [
    phase === "Failed"
      ? {
          level: "error",
          code: reason ?? "Failed",
          what: `the last run failed${reason === undefined ? "" : ` (${reason})`}${stopped?.message === undefined ? "" : `: ${stopped.message}`}`,
          todo: "docs/troubleshooting.md explains the reason",
        }
      : undefined,
    paused?.status === "True"
      ? {
          level: "error",
          code: paused.reason ?? "Paused",
          what: `the guest stands still: ${paused.message ?? "it is paused"}`,
          todo:
            paused.reason === "PausedIOError"
              ? "make room on the disk's storage: it goes on by itself"
              : `virtpod unpause ${name}`,
        }
      : undefined,
    phase === "Scheduling" && pods.some(isRunning)
      ? {
          level: "warning",
          code: "GuestStarting",
          what: "the pod runs and the guest doesn't yet",
          todo: `see kubectl logs ${pods[0]?.metadata.name}`,
        }
      : undefined,
  ];
}

/** A machine that was made half a minute ago and has no status has an operator that doesn't work. */
function waitingForOperator(vm: Facts["vm"], vmi: Facts["vmi"], nowMs: number): readonly Finding[] {
  const object = vmi ?? (vm?.status?.printableStatus === undefined ? vm : undefined);
  const created = Date.parse(object?.metadata.creationTimestamp ?? "");
  if (object === undefined || object.metadata.deletionTimestamp !== undefined || nowMs - created < 30_000)
    return [];
  return [
    {
      level: "error",
      code: "NotReconciled",
      what: "the operator has written no status",
      todo: "see kubectl logs -n virtpod deployment/virtpod-operator, and who leads: kubectl get lease -n virtpod",
    },
  ];
}

function guest({ name, vm, vmi }: Facts): readonly (Finding | undefined)[] {
  if (vmi?.status?.phase !== "Running") return [];
  const ready = conditionOf(vmi, "Ready");
  const isPaused = conditionOf(vmi, "Paused")?.status === "True";
  const unsupported = conditionOf(vmi, "AgentVersionNotSupported");
  const credentials = conditionOf(vmi, "AccessCredentialsSynchronized");
  const restart = conditionOf(vm, "RestartRequired");
  return [
    ready?.status === "False" && !isPaused
      ? {
          level: "warning",
          code: ready.reason ?? "NotReady",
          what: `the guest runs and is not ready: ${ready.message ?? ready.reason ?? ""}`,
          todo: `its readinessProbe asks what it serves: virtpod console ${name}`,
        }
      : undefined,
    conditionOf(vmi, "AgentConnected")?.status === "True"
      ? undefined
      : {
          level: "note",
          code: "NoGuestAgent",
          what: "no guest agent is connected: users, file systems and freezing need one",
          todo: "install qemu-guest-agent in the guest",
        },
    unsupported?.status === "True"
      ? {
          level: "warning",
          code: "AgentVersionNotSupported",
          what: unsupported.message ?? "its agent is too old",
        }
      : undefined,
    credentials?.status === "False"
      ? {
          level: "warning",
          code: "AccessCredentialsSyncFailed",
          what: credentials.message ?? "keys are not in the guest",
        }
      : undefined,
    restart?.status === "True"
      ? {
          level: "note",
          code: "RestartRequired",
          what: "the template has changed since the guest was started",
          todo: `virtpod restart ${name}`,
        }
      : undefined,
  ];
}

function isRunning({ status }: Facts["pods"][number]): boolean {
  return status?.phase === "Running";
}

function times(count: number): string {
  return count === 1 ? "once" : `${count} times`;
}

/** The newest first. */
export function newestEvents({ events }: Facts, count: number): Facts["events"] {
  return events.toSorted((a, b) => timeOf(b) - timeOf(a)).slice(0, count);
}
