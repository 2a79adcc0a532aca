/**
 * What the agent knows of each launcher, streamed to operators. Level-based: a reader gets the newest state of what
 * changed since it last read, so a slow one costs one set of pod UIDs and misses nothing that still holds.
 */
import type { LauncherStatus } from "../../api/launcher-protocol.ts";
import type { AgentStatus, NodeFacts } from "../../api/uplink-protocol.ts";

/** Pods that are no launchers can be refused without end; only so many refusals are remembered. */
const MAX_REFUSALS = 256;

interface LauncherState {
  readonly status?: LauncherStatus;
  readonly connected: boolean;
  readonly refusal?: { readonly code: string; readonly message: string };
}

export class StatusRegistry {
  readonly #node: NodeFacts;
  readonly #launchers = new Map<string, LauncherState>();
  readonly #subscriptions = new Set<StatusSubscription>();

  constructor(node: NodeFacts) {
    this.#node = node;
  }

  /** The launcher's connection stands; its last status holds until the next. */
  connected(podUid: string): void {
    const status = this.#launchers.get(podUid)?.status;
    this.#set(podUid, { connected: true, ...(status !== undefined && { status }) });
  }

  update(podUid: string, status: LauncherStatus): void {
    this.#set(podUid, { connected: true, status });
  }

  disconnected(podUid: string): void {
    const state = this.#launchers.get(podUid);
    if (state?.connected) this.#set(podUid, { ...state, connected: false });
  }

  refused(podUid: string, code: string, message: string): void {
    this.#set(podUid, { connected: false, refusal: { code, message } });
    const refused = [...this.#launchers].filter(([, state]) => state.refusal !== undefined);
    for (const [oldest] of refused.slice(0, -MAX_REFUSALS)) this.#launchers.delete(oldest);
  }

  /** Forgets every launcher besides these. */
  retain(podUids: ReadonlySet<string>): void {
    for (const podUid of this.#launchers.keys()) {
      if (!podUids.has(podUid)) this.#launchers.delete(podUid);
    }
  }

  /** The node, every launcher, `synced`, and then each change, until the iterator is returned. */
  subscribe(): AsyncIterableIterator<AgentStatus, undefined, undefined> {
    const subscription: StatusSubscription = new StatusSubscription(
      { type: "node", node: this.#node },
      [...this.#launchers.keys()],
      (podUid) => this.#lines(podUid),
      () => this.#subscriptions.delete(subscription),
    );
    this.#subscriptions.add(subscription);
    return subscription;
  }

  #set(podUid: string, state: LauncherState): void {
    // Deleted first, so that the map stays in the order of the last changes.
    this.#launchers.delete(podUid);
    this.#launchers.set(podUid, state);
    for (const subscription of this.#subscriptions) subscription.changed(podUid);
  }

  #lines(podUid: string): AgentStatus[] {
    const state = this.#launchers.get(podUid);
    if (state === undefined) return [];
    if (state.refusal !== undefined) return [{ type: "refused", podUid, ...state.refusal }];
    const lines: AgentStatus[] = [];
    if (state.status !== undefined) lines.push({ type: "launcher", podUid, status: state.status });
    if (!state.connected) lines.push({ type: "disconnected", podUid });
    return lines;
  }
}

class StatusSubscription implements AsyncIterableIterator<AgentStatus, undefined, undefined> {
  readonly #changed: Set<string>;
  readonly #linesOf: (podUid: string) => AgentStatus[];
  readonly #onReturn: () => void;
  /** Lines of the one thing that is being told: at most two. */
  #lines: AgentStatus[];
  /** Things to tell before `synced`; -1 once it was told. */
  #unsynced: number;
  #wake: (() => void) | undefined;
  #returned = false;

  constructor(
    first: AgentStatus,
    podUids: readonly string[],
    linesOf: (podUid: string) => AgentStatus[],
    onReturn: () => void,
  ) {
    this.#lines = [first];
    this.#changed = new Set(podUids);
    this.#unsynced = this.#changed.size;
    this.#linesOf = linesOf;
    this.#onReturn = onReturn;
  }

  changed(podUid: string): void {
    this.#changed.add(podUid);
    this.#wake?.();
  }

  async next(): Promise<IteratorResult<AgentStatus, undefined>> {
    while (!this.#returned) {
      const line = this.#take();
      if (line !== undefined) return { done: false, value: line };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return { done: true, value: undefined };
  }

  /** Also ends a `next` that waits. */
  async return(): Promise<IteratorResult<AgentStatus, undefined>> {
    this.#returned = true;
    this.#onReturn();
    this.#wake?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #take(): AgentStatus | undefined {
    for (;;) {
      const line = this.#lines.shift();
      if (line !== undefined) return line;
      if (this.#unsynced === 0) {
        this.#unsynced = -1;
        return { type: "synced" };
      }
      // The oldest first; a set keeps the place of one that changes again before it is told.
      const [podUid] = this.#changed;
      if (podUid === undefined) return undefined;
      this.#changed.delete(podUid);
      this.#lines = this.#linesOf(podUid);
      if (this.#unsynced > 0) this.#unsynced -= 1;
    }
  }
}
