/** What the objects of the machine itself tell: VM, VMI, their claims. Pure. */
import { type ConditionFact, conditionOf, type Facts, isRunning } from "./facts.ts";
import type { Finding } from "./finding.ts";

export function existence({
  isInstalled,
  name,
  namespace,
  vm,
  vmi,
}: Facts): readonly (Finding | undefined)[] {
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

export function wantedState({ name, vm, vmi }: Facts): readonly (Finding | undefined)[] {
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
export function deletion({ nowMs, pods, vm, vmi }: Facts): readonly (Finding | undefined)[] {
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

export function claims({ claims: named, events, pods }: Facts): readonly (Finding | undefined)[] {
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

export function restarts({ events, name, vm }: Facts): readonly (Finding | undefined)[] {
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

/** How the VMI ended, what holds it, and what it waits for. */
export function instance({ events, name, nowMs, pods, vm, vmi }: Facts): readonly (Finding | undefined)[] {
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

export function guest({ name, vm, vmi }: Facts): readonly (Finding | undefined)[] {
  if (vmi?.status?.phase !== "Running") return [];
  const isPaused = conditionOf(vmi, "Paused")?.status === "True";
  const hasAgent = conditionOf(vmi, "AgentConnected")?.status === "True";
  return [
    isPaused
      ? undefined
      : whenCondition(vmi, "Ready", "False", ({ reason, message }) => ({
          level: "warning",
          code: reason ?? "NotReady",
          what: `the guest runs and is not ready: ${message ?? reason ?? ""}`,
          todo: `its readinessProbe asks what it serves: virtpod console ${name}`,
        })),
    hasAgent
      ? undefined
      : {
          level: "note",
          code: "NoGuestAgent",
          what: "no guest agent is connected: users, file systems and freezing need one",
          todo: "install qemu-guest-agent in the guest",
        },
    whenCondition(vmi, "AgentVersionNotSupported", "True", ({ message }) => ({
      level: "warning",
      code: "AgentVersionNotSupported",
      what: message ?? "its agent is too old",
    })),
    whenCondition(vmi, "AccessCredentialsSynchronized", "False", ({ message }) => ({
      level: "warning",
      code: "AccessCredentialsSyncFailed",
      what: message ?? "keys are not in the guest",
    })),
    whenCondition(vm, "RestartRequired", "True", () => ({
      level: "note",
      code: "RestartRequired",
      what: "the template has changed since the guest was started",
      todo: `virtpod restart ${name}`,
    })),
  ];
}

function whenCondition(
  object: Parameters<typeof conditionOf>[0],
  type: string,
  status: string,
  meaning: (condition: ConditionFact) => Finding,
): Finding | undefined {
  const condition = conditionOf(object, type);
  return condition?.status === status ? meaning(condition) : undefined;
}

function times(count: number): string {
  return count === 1 ? "once" : `${count} times`;
}
