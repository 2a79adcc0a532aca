/** What virtual machines use, as text for a terminal. Pure. */
import type { InstanceUsage } from "../api/usage.ts";
import { columns, printable, size } from "./table.ts";

export interface MeasuredInstance {
  readonly namespace: string;
  readonly name: string;
  /** Measured twice, some time apart; a string says why it could not be. */
  readonly usage: readonly [InstanceUsage, InstanceUsage] | string;
}

/** @param withNamespace with a column for it */
export function usageTable(instances: readonly MeasuredInstance[], withNamespace: boolean): string {
  const head = ["NAME", "NODE", "CPU", "LIMIT", "QUOTA", "BURST", "THROTTLED", "GUEST MEMORY", "RESIDENT"];
  const rows = instances.map(({ name, namespace, usage }) => [
    ...(withNamespace ? [namespace] : []),
    name,
    ...(typeof usage === "string" ? [usage] : cells(...usage)),
  ]);
  const lines = columns([withNamespace ? ["NAMESPACE", ...head] : head, ...rows]);
  return `${lines.map(printable).join("\n")}\n`;
}

function cells(first: InstanceUsage, last: InstanceUsage): readonly string[] {
  const seconds = (last.atMs - first.atMs) / 1000;
  const cpu = last.launcher?.cpu;
  const before = first.launcher?.cpu;
  const memory = last.domain?.memory;
  return [
    last.nodeName,
    cpu === undefined || before === undefined || seconds <= 0
      ? "-"
      : cores((cpu.usageSeconds - before.usageSeconds) / seconds),
    cpu === undefined ? "-" : quota(cpu.baseQuotaMicros, cpu.periodMicros),
    cpu === undefined ? "-" : quota(cpu.quotaMicros, cpu.periodMicros),
    cpu?.burstMicros ? `${Math.round(cpu.burstMicros / 1000)} ms` : "-",
    cpu === undefined || before === undefined ? "-" : share(before, cpu),
    memory?.available === undefined || memory.usable === undefined
      ? "-"
      : `${size(memory.available - memory.usable)} of ${size(memory.available)}`,
    memory?.resident === undefined ? "-" : size(memory.resident),
  ];
}

/** `250m`: thousandths of a CPU. */
function cores(cpus: number): string {
  return `${Math.max(0, Math.round(cpus * 1000))}m`;
}

function quota(quotaMicros: number | null, periodMicros: number): string {
  return quotaMicros === null || periodMicros === 0 ? "-" : cores(quotaMicros / periodMicros);
}

interface Periods {
  readonly periods: number;
  readonly throttledPeriods: number;
}

/** Of the periods in which it ran between the two. */
function share(before: Periods, after: Periods): string {
  const periods = after.periods - before.periods;
  return periods <= 0
    ? "0 %"
    : `${Math.round((100 * (after.throttledPeriods - before.throttledPeriods)) / periods)} %`;
}
