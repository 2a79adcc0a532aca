/** The doctor's page, for a terminal. Pure. */
import { columns, printable } from "../table.ts";
import { conditionOf, type Facts, timeOf } from "./facts.ts";
import type { Finding } from "./finding.ts";
import { newestEvents } from "./findings.ts";

export type Colour = "red" | "yellow" | "green" | "gray" | "bold";
export type Paint = (colour: Colour, text: string) => string;

const EVENTS = 5;
const SIGNS = { error: ["red", "✗"], warning: ["yellow", "!"], note: ["gray", "·"] } as const;

/** Ends with a line break. */
export function doctorPage(facts: Facts, findings: readonly Finding[], paint: Paint): string {
  const blocks = [heading(facts, findings, paint), findings.flatMap((one) => findingLines(one, paint))];
  if (facts.vm !== undefined || facts.vmi !== undefined) blocks.push(chain(facts));
  const events = newestEvents(facts, EVENTS);
  if (events.length > 0) blocks.push(["Last events:", ...eventLines(facts, events)]);
  if (facts.unseen.length > 0)
    blocks.push(["Not looked at:", ...facts.unseen.map((text) => `  ${printable(text)}`)]);
  return `${blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n")}\n`;
}

function heading({ name, namespace, vm, vmi }: Facts, findings: readonly Finding[], paint: Paint): string[] {
  const state = vm?.status?.printableStatus ?? vmi?.status?.phase ?? "unknown";
  const isWell = !findings.some(({ level }) => level === "error");
  const verdict = isWell ? paint("green", "nothing keeps it from running") : "";
  return [[paint("bold", printable(`${namespace}/${name}: ${state}`)), verdict].filter(Boolean).join(", ")];
}

function findingLines({ level, todo, what }: Finding, paint: Paint): string[] {
  const [colour, sign] = SIGNS[level];
  return [
    `${paint(colour, sign)} ${printable(what)}`,
    ...(todo === undefined ? [] : [`  → ${printable(todo)}`]),
  ];
}

/** What hangs on what, each with its state. */
function chain(facts: Facts): string[] {
  const { agent, nodes, pods, vm, vmi } = facts;
  const [pod] = pods;
  const nodeName = pod?.spec?.nodeName;
  const node = nodes.find(({ metadata }) => metadata.name === nodeName);
  const agentState = agent === undefined ? "?" : (agent?.status?.phase ?? "missing");
  const isAgentConnected = conditionOf(vmi, "AgentConnected")?.status === "True";
  const rows = [
    ["virtual machine", vm?.metadata.name ?? "none", vm === undefined ? "" : strategyOf(vm.spec)],
    ["instance", vmi?.metadata.name ?? "none", vmi?.status?.phase ?? (vmi === undefined ? "" : "no status")],
    ["launcher pod", pod?.metadata.name ?? "none", pod?.status?.phase ?? ""],
    [
      "node",
      nodeName ?? "none",
      node === undefined ? "" : conditionOf(node, "Ready")?.status === "True" ? "ready" : "not ready",
    ],
    ["agent", agent?.metadata.name ?? "", nodeName === undefined ? "" : agentState],
    [
      "guest",
      vmi?.status?.interfaces?.[0]?.ipAddress ?? "",
      vmi?.status?.phase === "Running" ? `runs${isAgentConnected ? ", guest agent connected" : ""}` : "",
    ],
  ];
  return columns(rows.map((row) => row.map((cell) => printable(cell)))).map((line) => `  ${line}`);
}

function strategyOf({ runStrategy, running }: NonNullable<Facts["vm"]>["spec"]): string {
  return runStrategy ?? (running === true ? "Always" : "Halted");
}

function eventLines({ nowMs }: Facts, events: Facts["events"]): string[] {
  const rows = events.map((event) => [
    timeOf(event) === 0 ? "?" : age(nowMs - timeOf(event)),
    `${event.involvedObject?.kind ?? "?"}/${event.involvedObject?.name ?? "?"}`,
    event.reason ?? "",
    event.message ?? "",
  ]);
  return columns(rows.map((row) => row.map((cell) => printable(cell)))).map((line) => `  ${line}`);
}

/** As kubectl has it, with one unit. */
export function age(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}
