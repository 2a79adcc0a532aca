/** Checks what agents and launchers measure, on its way to Prometheus and to whoever asks. */
import type {
  AgentMetrics,
  LauncherCpuMetrics,
  LauncherMetrics,
  NodeMetrics,
} from "../../api/agent-metrics.ts";
import {
  type DomainStatistics,
  MAX_VCPUS,
  type MemoryStatistics,
  VCPU_STATES,
  type VcpuStatistics,
} from "../../api/domain-statistics.ts";
import { list, malformed, number, object, oneOf, optionalText, sentence, text } from "./fields.ts";

/** As many as an agent may tell of; see statuses.ts. */
const MAX_LAUNCHERS = 4096;
const MAX_CODES = 64;

/** @throws OperatorError MalformedStatus naming the field */
export function parseAgentMetrics(value: unknown): AgentMetrics {
  const { launchers, node } = object(value, "metrics");
  return {
    node: parseNode(node),
    launchers: list(launchers, "metrics.launchers", MAX_LAUNCHERS).map(parseLauncher),
  };
}

function parseNode(value: unknown): NodeMetrics {
  const field = "metrics.node";
  const node = object(value, field);
  const { cgroupVersion } = node;
  if (cgroupVersion !== 1 && cgroupVersion !== 2) throw malformed(`${field}.cgroupVersion`, "is not 1 or 2");
  return {
    ...optionalText(node, "settingsVersion", field),
    cgroupVersion,
    kernelBurst: oneOf(node["kernelBurst"], ["supported", "unsupported", "unknown"], `${field}.kernelBurst`),
    state: oneOf(node["state"], ["idle", "cooling", "overload", "unknown"], `${field}.state`),
    ...optionalAmount(node, "sharePoolUse", field),
    refusals: parseRefusals(node["refusals"] ?? {}),
  };
}

/** By code; an agent of an earlier version tells none. */
function parseRefusals(value: unknown): Readonly<Record<string, number>> {
  const field = "metrics.node.refusals";
  const entries = list(Object.entries(object(value, field)), field, MAX_CODES) as [string, unknown][];
  return Object.fromEntries(entries.map(([code, count]) => [text(code, field), amount(count, field)]));
}

function parseLauncher(value: unknown): LauncherMetrics {
  const { cpu, memory, podUid } = object(value, "metrics.launchers[]");
  return {
    podUid: text(podUid, "metrics.launchers[].podUid"),
    cpu: parseCpu(cpu),
    ...(memory === undefined
      ? {}
      : { memory: { usageBytes: amount(object(memory, "memory")["usageBytes"], "memory.usageBytes") } }),
  };
}

function parseCpu(value: unknown): LauncherCpuMetrics {
  const field = "metrics.launchers[].cpu";
  const cpu = object(value, field);
  const of = (name: keyof LauncherCpuMetrics) => amount(cpu[name], `${field}.${name}`);
  const orNull = (name: keyof LauncherCpuMetrics) => (cpu[name] === null ? null : of(name));
  const { problem, tokens } = cpu;
  return {
    usageSeconds: of("usageSeconds"),
    periods: of("periods"),
    throttledPeriods: of("throttledPeriods"),
    throttledSeconds: of("throttledSeconds"),
    quotaMicros: orNull("quotaMicros"),
    periodMicros: of("periodMicros"),
    burstMicros: orNull("burstMicros"),
    baseQuotaMicros: orNull("baseQuotaMicros"),
    ...(tokens === undefined ? {} : { tokens: number(tokens, `${field}.tokens`) }),
    adopted: of("adopted"),
    repaired: of("repaired"),
    resets: of("resets"),
    failures: of("failures"),
    ...(problem === undefined ? {} : { problem: sentence(problem, `${field}.problem`) }),
  };
}

const MEMORY: readonly (keyof MemoryStatistics)[] = [
  "domain",
  "actualBalloon",
  "resident",
  "available",
  "unused",
  "usable",
  "cached",
  "swapIn",
  "swapOut",
  "majorFaults",
  "minorFaults",
];

/** @throws OperatorError MalformedStatus naming the field */
export function parseDomainStatistics(value: unknown): DomainStatistics {
  const statistics = object(value, "statistics");
  const cpu = object(statistics["cpu"], "statistics.cpu");
  const memory = object(statistics["memory"], "statistics.memory");
  return {
    cpu: {
      seconds: amount(cpu["seconds"], "statistics.cpu.seconds"),
      userSeconds: amount(cpu["userSeconds"], "statistics.cpu.userSeconds"),
      systemSeconds: amount(cpu["systemSeconds"], "statistics.cpu.systemSeconds"),
    },
    vcpus: list(statistics["vcpus"], "statistics.vcpus", MAX_VCPUS).map(parseVcpu),
    memory: Object.assign({}, ...MEMORY.map((name) => optionalAmount(memory, name, "statistics.memory"))),
  };
}

function parseVcpu(value: unknown): VcpuStatistics {
  const field = "statistics.vcpus[]";
  const vcpu = object(value, field);
  return {
    id: amount(vcpu["id"], `${field}.id`),
    state: oneOf(vcpu["state"], VCPU_STATES, `${field}.state`),
    seconds: amount(vcpu["seconds"], `${field}.seconds`),
    ...optionalAmount(vcpu, "waitSeconds", field),
    ...optionalAmount(vcpu, "delaySeconds", field),
  };
}

/** Nothing that is measured here is below zero. */
function amount(value: unknown, field: string): number {
  const amount = number(value, field);
  if (amount < 0) throw malformed(field, "is below zero");
  return amount;
}

function optionalAmount<K extends string>(
  source: Readonly<Record<string, unknown>>,
  name: K,
  within: string,
): { readonly [P in K]?: number } {
  const value = source[name];
  return value === undefined ? {} : ({ [name]: amount(value, `${within}.${name}`) } as { [P in K]: number });
}
