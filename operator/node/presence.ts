/** Whether the agents are connected, with patience: one that restarts is back in seconds, and that is nobody's news. */
import { EventEmitter } from "node:events";
import type { Clock, Timer } from "../../lib/clock.ts";
import type { Agents } from "../uplink/agents.ts";
import type { AgentState } from "./health.ts";

/** An agent that was there is away after so long, in milliseconds. */
const PATIENCE_MS = 8_000;
/** Agents look for operators every 10 s; an operator that has just started waits so long for them, in milliseconds. */
const FIRST_PATIENCE_MS = 25_000;

interface PresenceEvents {
  /** `of` answers otherwise than before. */
  changed: [nodeName: string];
  /** As `changed`, of every node whose agent was never there. */
  settled: [];
}

export class AgentPresence extends EventEmitter<PresenceEvents> {
  readonly #agents: Agents;
  readonly #clock: Clock;
  readonly #away = new Set<string>();
  readonly #leaving = new Map<string, Timer>();
  readonly #first: Timer;
  #isSettled = false;

  constructor(agents: Agents, clock: Clock) {
    super();
    this.#agents = agents;
    this.#clock = clock;
    agents.on("status", (nodeName) => this.#came(nodeName));
    agents.on("lost", (nodeName) => this.#left(nodeName));
    this.#first = clock.setTimeout(() => {
      this.#isSettled = true;
      this.emit("settled");
    }, FIRST_PATIENCE_MS);
  }

  of(nodeName: string): AgentState {
    if (this.#agents.isConnected(nodeName)) return "connected";
    if (this.#away.has(nodeName)) return "away";
    return this.#isSettled && !this.#leaving.has(nodeName) ? "away" : "unknown";
  }

  /** The node is no more; what was held of its agent goes. */
  forget(nodeName: string): void {
    this.#away.delete(nodeName);
  }

  close(): void {
    this.#first.cancel();
    for (const timer of this.#leaving.values()) timer.cancel();
    this.#leaving.clear();
  }

  #came(nodeName: string): void {
    this.#leaving.get(nodeName)?.cancel();
    this.#leaving.delete(nodeName);
    this.#away.delete(nodeName);
    this.emit("changed", nodeName);
  }

  #left(nodeName: string): void {
    this.#leaving.get(nodeName)?.cancel();
    const timer = this.#clock.setTimeout(() => {
      this.#leaving.delete(nodeName);
      this.#away.add(nodeName);
      this.emit("changed", nodeName);
    }, PATIENCE_MS);
    this.#leaving.set(nodeName, timer);
  }
}
