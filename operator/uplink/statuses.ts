/**
 * What the agents tell about nodes and launchers, kept by the leader. Nothing here is written anywhere: the
 * controllers read it beside their informers, and a new leader gets the whole state told again.
 */
import { EventEmitter } from "node:events";
import type { LauncherStatus } from "../../api/launcher-protocol.ts";
import { type AgentStatus, type NodeFacts, UPLINK_ROUTES } from "../../api/uplink-protocol.ts";
import { LruMap } from "../../kube/lru.ts";
import type { Http2Client } from "../../transport/client.ts";
import { OperatorError } from "../errors.ts";
import type { Agents } from "./agents.ts";
import { parseAgentStatus } from "./parse.ts";

/** A node tells of its own pods only, at most kubelet's 110 by default; far more is an attack or a bug. */
const MAX_LAUNCHERS_PER_NODE = 4096;
/** An agent learns a moment later than we that a pod is gone; what it still tells of so many is not kept. */
const MAX_FORGOTTEN = 4096;

export interface ToldLauncher {
  /** Absent while the launcher has told nothing yet. */
  readonly status?: LauncherStatus;
  /** The launcher's connection to its agent has ended: `status` is the last that it told. */
  readonly isDisconnected?: boolean;
  /** Why the agent gave this pod nothing. */
  readonly refused?: { readonly code: string; readonly message: string };
}

interface StatusesEvents {
  /** Something about this launcher pod changed. */
  launcher: [podUid: string];
  /** What is known of nodes changed. */
  node: [nodeName: string];
}

export class Statuses extends EventEmitter<StatusesEvents> {
  /** By node, then by pod UID, so that one node can't overwrite what another tells. */
  readonly #launchers = new Map<string, Map<string, ToldLauncher>>();
  readonly #nodes = new Map<string, NodeFacts>();
  #forgotten = new LruMap<string, true>(MAX_FORGOTTEN);
  readonly #agents: Agents;
  readonly #onError: (nodeName: string, error: unknown) => void;
  #reading: AbortController | undefined;
  #startedAt = Number.NEGATIVE_INFINITY;

  constructor(agents: Agents, onError: (nodeName: string, error: unknown) => void) {
    super();
    this.#agents = agents;
    this.#onError = onError;
  }

  /** Begins to read every agent's status: called when this replica starts to lead. */
  start(): void {
    this.#reading = new AbortController();
    this.#startedAt = performance.now();
    this.#agents.on("status", this.#read);
    this.#agents.on("lost", this.#lost);
    for (const [nodeName, client] of this.#agents.statusConnections()) this.#read(nodeName, client);
  }

  /** Stops reading and forgets: another replica leads. */
  stop(): void {
    this.#agents.off("status", this.#read);
    this.#agents.off("lost", this.#lost);
    this.#reading?.abort();
    this.#reading = undefined;
    this.#launchers.clear();
    this.#nodes.clear();
    this.#forgotten = new LruMap(MAX_FORGOTTEN);
  }

  /** What the agent of `nodeName` last told of a launcher pod. */
  launcher(podUid: string, nodeName: string): ToldLauncher | undefined {
    return this.#launchers.get(nodeName)?.get(podUid);
  }

  node(nodeName: string): NodeFacts | undefined {
    return this.#nodes.get(nodeName);
  }

  /** True when a connected node has shown that guests run under KVM on it. */
  isKvmUsable(): boolean {
    for (const facts of this.#nodes.values()) if (facts.kvm.usable) return true;
    return false;
  }

  /** At least one agent has told of its node. */
  get hasFacts(): boolean {
    return this.#nodes.size > 0;
  }

  /** How long this replica has been reading, in milliseconds. */
  get ageMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** How many launchers something is held of. */
  get size(): number {
    return [...this.#launchers.values()].reduce((sum, launchers) => sum + launchers.size, 0);
  }

  /** Drops what is held of a pod that is gone, and whatever is still told of it: its UID never comes back. */
  forget(podUid: string, nodeName: string | undefined): void {
    this.#forgotten.set(podUid, true);
    if (nodeName !== undefined) this.#drop(nodeName, podUid);
  }

  #drop(nodeName: string, podUid: string): void {
    const launchers = this.#launchers.get(nodeName);
    launchers?.delete(podUid);
    if (launchers?.size === 0) this.#launchers.delete(nodeName);
  }

  readonly #read = (nodeName: string, client: Http2Client): void => {
    const signal = this.#reading?.signal;
    if (signal !== undefined) void this.#follow(nodeName, client, signal);
  };

  readonly #lost = (nodeName: string): void => {
    this.#nodes.delete(nodeName);
    this.emit("node", nodeName);
  };

  async #follow(nodeName: string, client: Http2Client, signal: AbortSignal): Promise<void> {
    const seen = new Set<string>();
    try {
      for await (const line of client.lines(UPLINK_ROUTES.status, { signal })) {
        // What an earlier connection still has in its buffers is older than what the newer one tells.
        if (signal.aborted || this.#agents.statusConnections().get(nodeName) !== client) return;
        this.#apply(nodeName, parseAgentStatus(line), seen);
      }
      if (!client.isOpen || signal.aborted) return;
      throw new OperatorError("MalformedStatus", `the agent of node ${nodeName} ended its status stream`);
    } catch (error) {
      if (signal.aborted) return;
      this.#onError(nodeName, error);
      // A stream that can't be understood is asked for anew on a new connection, which the agent's back-off paces.
      client.destroy();
    }
  }

  #apply(nodeName: string, told: AgentStatus, seen: Set<string>): void {
    switch (told.type) {
      case "node":
        this.#nodes.set(nodeName, told.node);
        this.emit("node", nodeName);
        return;
      case "synced":
        this.#dropUnseen(nodeName, seen);
        return;
      case "launcher":
        seen.add(told.podUid);
        this.#set(nodeName, told.podUid, { status: told.status });
        return;
      case "refused":
        seen.add(told.podUid);
        this.#set(nodeName, told.podUid, { refused: { code: told.code, message: told.message } });
        return;
      case "disconnected":
        // The last status stands until the kubelet tells the pod's end.
        this.#disconnected(nodeName, told.podUid);
        return;
    }
  }

  #disconnected(nodeName: string, podUid: string): void {
    const last = this.#launchers.get(nodeName)?.get(podUid);
    if (last !== undefined) this.#set(nodeName, podUid, { ...last, isDisconnected: true });
    else this.emit("launcher", podUid);
  }

  #set(nodeName: string, podUid: string, told: ToldLauncher): void {
    if (this.#forgotten.get(podUid)) return;
    const launchers = this.#launchers.get(nodeName) ?? new Map<string, ToldLauncher>();
    this.#launchers.set(nodeName, launchers);
    if (launchers.size >= MAX_LAUNCHERS_PER_NODE && !launchers.has(podUid)) {
      throw new OperatorError(
        "MalformedStatus",
        `node ${nodeName} tells of more than ${MAX_LAUNCHERS_PER_NODE} launchers`,
      );
    }
    launchers.set(podUid, told);
    this.emit("launcher", podUid);
  }

  #dropUnseen(nodeName: string, seen: ReadonlySet<string>): void {
    const launchers = this.#launchers.get(nodeName);
    for (const podUid of launchers?.keys() ?? []) {
      if (seen.has(podUid)) continue;
      this.#drop(nodeName, podUid);
      this.emit("launcher", podUid);
    }
  }
}
