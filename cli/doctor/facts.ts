/** What is known of a virtual machine when it is asked why it doesn't run: the parts of Kubernetes' objects that matter. */

export interface Facts {
  readonly namespace: string;
  readonly name: string;
  /** When the facts were gathered, in ms since the epoch. */
  readonly nowMs: number;
  /** Absent where the API server knows no VirtualMachines. */
  readonly isInstalled: boolean;
  /** Why the aggregated API, and so the operator, can't be reached; absent where it can. */
  readonly operatorProblem?: string;
  readonly vm?: VmFact;
  readonly vmi?: VmiFact;
  /** Launcher pods, newest first. */
  readonly pods: readonly PodFact[];
  /** Claims that the machine's volumes name; undefined for one that isn't there. */
  readonly claims: Readonly<Record<string, ClaimFact | undefined>>;
  /** Of the pod, or all where it has none yet. */
  readonly nodes: readonly NodeFact[];
  /** The agent's pod on the launcher's node; null where there is none; absent where nobody looked. */
  readonly agent?: PodFact | null;
  /** Of VM, VMI and pods, newest first. */
  readonly events: readonly EventFact[];
  /** What could not be looked at, with the reason. */
  readonly unseen: readonly string[];
}

interface Meta {
  readonly name: string;
  readonly uid?: string;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly finalizers?: readonly string[];
}

export interface ConditionFact {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

export interface VmFact {
  readonly metadata: Meta;
  readonly spec: { readonly running?: boolean; readonly runStrategy?: string };
  readonly status?: {
    readonly printableStatus?: string;
    readonly conditions?: readonly ConditionFact[];
    readonly startFailure?: { readonly consecutiveFailCount?: number; readonly retryAfterTimestamp?: string };
  };
}

export interface VmiFact {
  readonly metadata: Meta;
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly nodeName?: string;
    readonly conditions?: readonly ConditionFact[];
    readonly interfaces?: readonly { readonly ipAddress?: string }[];
    readonly guestOSInfo?: { readonly prettyName?: string };
  };
}

interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string };
  readonly running?: object;
  readonly terminated?: { readonly reason?: string; readonly exitCode?: number; readonly message?: string };
}

export interface PodFact {
  readonly metadata: Meta;
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly message?: string;
    readonly conditions?: readonly ConditionFact[];
    readonly containerStatuses?: readonly {
      readonly name: string;
      readonly state?: ContainerState;
      readonly restartCount?: number;
    }[];
  };
}

export interface ClaimFact {
  readonly metadata: Meta;
  readonly spec?: { readonly storageClassName?: string };
  readonly status?: { readonly phase?: string };
}

export interface NodeFact {
  readonly metadata: Meta;
  readonly spec?: { readonly unschedulable?: boolean };
  readonly status?: {
    readonly allocatable?: Readonly<Record<string, string>>;
    readonly conditions?: readonly ConditionFact[];
  };
}

export interface EventFact {
  readonly type?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly involvedObject?: { readonly kind?: string; readonly name?: string };
  readonly lastTimestamp?: string | null;
  readonly eventTime?: string | null;
  readonly count?: number;
}

export function conditionOf(
  object: { readonly status?: { readonly conditions?: readonly ConditionFact[] } } | undefined,
  type: string,
): ConditionFact | undefined {
  return object?.status?.conditions?.find((condition) => condition.type === type);
}

/** Milliseconds since the epoch; 0 where an event tells no time. */
export function timeOf({ eventTime, lastTimestamp }: EventFact): number {
  return Date.parse(lastTimestamp ?? eventTime ?? "") || 0;
}

export function isRunning({ status }: PodFact): boolean {
  return status?.phase === "Running";
}
