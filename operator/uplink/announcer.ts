/** Tells each agent which launcher pods it may serve; the leader's job. */
import {
  type AnnouncedLauncher,
  type LauncherAnnouncement,
  UPLINK_ROUTES,
} from "../../api/uplink-protocol.ts";
import { Backoff } from "../../lib/backoff.ts";
import type { Http2Client } from "../../transport/client.ts";
import type { Agents } from "./agents.ts";

export interface AnnouncerOptions {
  readonly agents: Agents;
  /** The launchers that a node's agent may serve, from the caches. */
  readonly launchersOn: (nodeName: string) => readonly AnnouncedLauncher[];
  readonly onError: (nodeName: string, error: unknown) => void;
}

/** Per connection: what was last told, whether telling is under way, whether there is something newer. */
interface Told {
  client: Http2Client;
  body?: string;
  isTelling: boolean;
  isStale: boolean;
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
      told = { client, isTelling: false, isStale: false };
      this.#told.set(nodeName, told);
    }
    told.isStale = true;
    if (!told.isTelling) void this.#tell(nodeName, told, this.#stopping.signal);
  };

  /** One request at a time per agent; changes that come meanwhile are told together by the next one. */
  async #tell(nodeName: string, told: Told, stopping: AbortSignal): Promise<void> {
    told.isTelling = true;
    const backoff = new Backoff(RETRY);
    while (told.isStale && told.client.isOpen && !stopping.aborted && this.#term !== undefined) {
      told.isStale = false;
      try {
        const announcement: LauncherAnnouncement = {
          term: this.#term,
          launchers: this.#options.launchersOn(nodeName),
        };
        const body = JSON.stringify(announcement);
        if (body === told.body) continue;
        await told.client.request("PUT", UPLINK_ROUTES.launchers, { body: announcement, signal: stopping });
        told.body = body;
        backoff.reset();
      } catch (error) {
        if (stopping.aborted) break;
        this.#options.onError(nodeName, error);
        told.isStale = true;
        await backoff.wait(stopping).catch(() => {});
      }
    }
    told.isTelling = false;
  }
}
