/** What an agent measures of its node and launchers, told as one JSON document: GET /v1/metrics. */

export interface AgentMetrics {
  readonly node: NodeMetrics;
  /** Of the announced launchers those whose cgroup the agent has found. */
  readonly launchers: readonly LauncherMetrics[];
}

export interface NodeMetrics {
  /** AgentSettings.version in force; absent until the operator has told one. */
  readonly settingsVersion?: string;
  readonly cgroupVersion: 1 | 2;
  /** Whether a cgroup of this node has taken a burst; unknown until a launcher came. */
  readonly kernelBurst: "supported" | "unsupported" | "unknown";
  /** Load of the CPUs that VMs share; `unknown` while no quota is being scaled, when nobody measures it. */
  readonly state: "idle" | "cooling" | "overload" | "unknown";
  /** Share of those CPUs in use, 0 to 1; absent while it is unknown. */
  readonly sharePoolUse?: number;
  /** Callers of the launchers' socket that were turned away since the agent's start, by the reason's code. */
  readonly refusals: Readonly<Record<string, number>>;
}

export interface LauncherMetrics {
  readonly podUid: string;
  readonly cpu: LauncherCpuMetrics;
  /** Bytes in the container's memory cgroup, page cache included; absent where it can't be read. */
  readonly memory?: { readonly usageBytes: number };
}

/** Counters since the container's start but for the last four, which count since the agent's. */
export interface LauncherCpuMetrics {
  /** CPU seconds of the container. */
  readonly usageSeconds: number;
  /** Periods of a quota in which the container ran, and of them those in which it was stopped. */
  readonly periods: number;
  readonly throttledPeriods: number;
  readonly throttledSeconds: number;
  /** What is in force now; null: no quota. */
  readonly quotaMicros: number | null;
  readonly periodMicros: number;
  /** Null where the kernel has no burst. */
  readonly burstMicros: number | null;
  /** Quota of the limit as it was announced; null without a limit. */
  readonly baseQuotaMicros: number | null;
  /** What is left for running above the limit, in per cent seconds; absent where nothing limits it. */
  readonly tokens?: number;
  /** Rewrites of the quota by the kubelet or the runtime that were kept. */
  readonly adopted: number;
  /** Writes of strangers that were taken back. */
  readonly repaired: number;
  /** Times that everything was put back to the base: policy none, the launcher withdrawn, the agent stopped. */
  readonly resets: number;
  /** Writes that the kernel or the file system refused. */
  readonly failures: number;
  /** Why the strategy isn't in force, while it isn't. */
  readonly problem?: string;
}
