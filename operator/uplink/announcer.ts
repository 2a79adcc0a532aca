/** Tells each agent which launcher pods it may serve; the leader's job. */
import {
  type AnnouncementAnswer,
  type LauncherAnnouncement,
  UPLINK_ROUTES,
} from "../../api/uplink-protocol.ts";
import { Backoff } from "../../lib/backoff.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import type { Http2Client } from "../../transport/client.ts";
import { OperatorError } from "../errors.ts";
import type { Agents } from "./agents.ts";

export interface AnnouncerOptions {
  readonly agents: Agents;
  /** What a node's agent is to know, from the caches. */
  readonly announcementFor: (nodeName: string) => Announced;
  readonly onError: (nodeName: string, error: unknown) => void;
  /** Of the back-off. */
  readonly clock?: Clock;
}

export type Announced = Omit<LauncherAnnouncement, "term">;

/** Per connection: what was last told, and how far that is behind what was asked for. */
interface Told {
  client: Http2Client;
  /** What the agent holds; undefined while that isn't known. */
  body: string | undefined;
  /** Version of the configuration that it has confirmed. */
  version?: string;
  isTelling: boolean;
  /** How often `announce` was called, and up to which of these calls the agent has confirmed what it was to know. */
  asked: number;
  confirmed: number;
  /** UIDs of pods that the last confirmation left out, and whether they are waited for before it is asked for anew. */
  pending: ReadonlySet<string>;
  isWaiting: boolean;
  readonly pendingBackoff: Backoff;
  /** Called when the agent has confirmed something, and when nothing is under way any more. */
  readonly waiters: Set<() => void>;
}

const RETRY = { initialMs: 500, maxMs: 5_000 };

export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #told = new Map<string, Told>();
  #term: number | undefined;
  #stopping = new AbortController();

  constructor(options: AnnouncerOptions) {
    this.#options = options;
  }

  /** Begins to announce under the lease's term; every connected agent is told at once. */
  start(term: number): void {
    this.#term = term;
    this.#stopping = new AbortController();
    this.#options.agents.on("status", this.announce);
    this.#options.agents.on("lost", this.#forget);
    for (const nodeName of this.#options.agents.statusConnections().keys()) this.announce(nodeName);
  }

  stop(): void {
    this.#term = undefined;
    this.#stopping.abort();
    this.#options.agents.off("status", this.announce);
    this.#options.agents.off("lost", this.#forget);
    this.#told.clear();
  }

  /** Version of the configuration that each agent has taken, by node. */
  get versions(): ReadonlyMap<string, string> {
    const taken = new Map<string, string>();
    for (const [nodeName, { version }] of this.#told) if (version !== undefined) taken.set(nodeName, version);
    return taken;
  }

  /**
   * Resolves with true once the agent has confirmed of a pod what is to be announced now, or something newer, with false
   * when the deadline is over or the agent away.
   */
  async confirm(nodeName: string, podUid: string, deadlineMs: number): Promise<boolean> {
    this.announce(nodeName);
    const told = this.#told.get(nodeName);
    if (told === undefined) return false;
    const { asked } = told;
    const deadline = AbortSignal.timeout(deadlineMs);
    while (told.confirmed < asked && told.isTelling && !deadline.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      told.waiters.add(resolve);
      deadline.addEventListener("abort", () => resolve(), { once: true });
      await promise;
      told.waiters.delete(resolve);
    }
    return told.confirmed >= asked && !told.pending.has(podUid) && told.client.isOpen;
  }

  /** Agents that something is remembered of. */
  get size(): number {
    return this.#told.size;
  }

  readonly #forget = (nodeName: string): void => {
    this.#told.delete(nodeName);
  };

  /** Something about a node's launchers may have changed: tells its agent when it did. */
  readonly announce = (nodeName: string): void => {
    const client = this.#options.agents.statusConnections().get(nodeName);
    if (client === undefined || this.#term === undefined) return;
    let told = this.#told.get(nodeName);
    if (told?.client !== client) {
      told = {
        client,
        body: undefined,
        isTelling: false,
        asked: 0,
        confirmed: 0,
        pending: new Set(),
        isWaiting: false,
        pendingBackoff: this.#backoff(),
        waiters: new Set(),
      };
      this.#told.set(nodeName, told);
    }
    told.asked += 1;
    if (!told.isTelling) void this.#tell(nodeName, told, this.#stopping.signal);
  };

  /** One request at a time per agent; changes that come meanwhile are told together by the next one. */
  async #tell(nodeName: string, told: Told, stopping: AbortSignal): Promise<void> {
    told.isTelling = true;
    const { announcementFor, onError } = this.#options;
    const backoff = this.#backoff();
    while (
      told.confirmed < told.asked &&
      told.client.isOpen &&
      !stopping.aborted &&
      this.#term !== undefined
    ) {
      const { asked } = told;
      try {
        await put(told, { term: this.#term, ...announcementFor(nodeName) }, stopping);
        told.confirmed = asked;
        for (const wake of told.waiters) wake();
        backoff.reset();
      } catch (error) {
        if (stopping.aborted) break;
        onError(nodeName, error);
        await backoff.wait(stopping).catch(() => {});
      }
    }
    told.isTelling = false;
    for (const wake of told.waiters) wake();
    if (told.pending.size === 0) told.pendingBackoff.reset();
    else if (!stopping.aborted) await this.#tellAgain(nodeName, told, stopping);
  }

  /** For pods that a confirmation left out. What is asked for of others meanwhile doesn't wait for them. */
  async #tellAgain(nodeName: string, told: Told, stopping: AbortSignal): Promise<void> {
    if (told.isWaiting) return;
    told.isWaiting = true;
    const pods = [...told.pending].join(", ");
    const message = `the CPU burst of pods ${pods} can't be lowered to their limits yet`;
    this.#options.onError(nodeName, new OperatorError("CpuBurstPending", message));
    await told.pendingBackoff.wait(stopping).catch(() => {});
    told.isWaiting = false;
    this.announce(nodeName);
  }

  #backoff(): Backoff {
    return new Backoff({ ...RETRY, clock: this.#options.clock ?? systemClock });
  }
}

/** Nothing where the agent holds it already. @throws as Http2Client.request does */
async function put(told: Told, announcement: LauncherAnnouncement, signal: AbortSignal): Promise<void> {
  const body = JSON.stringify(announcement);
  if (body === told.body) return;
  // A request that fails, or is answered too late, may have been carried out.
  told.body = undefined;
  const answer = await told.client.request("PUT", UPLINK_ROUTES.launchers, { body: announcement, signal });
  told.pending = new Set(pendingOf(answer));
  if (told.pending.size === 0) told.body = body;
  if (announcement.settings !== undefined) told.version = announcement.settings.version;
}

function pendingOf(answer: unknown): readonly string[] {
  if (answer === undefined) return [];
  const { pendingCpu } = (answer ?? {}) as Partial<AnnouncementAnswer>;
  if (Array.isArray(pendingCpu) && pendingCpu.every((podUid) => typeof podUid === "string"))
    return pendingCpu;
  throw new OperatorError("MalformedStatus", "the agent's answer to an announcement has no list pendingCpu");
}
