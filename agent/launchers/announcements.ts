/** The announced launchers, kept on disk for when the operator is away. */
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import type { Logger } from "pino";
import type { AgentSettings, AnnouncedLauncher, LauncherAnnouncement } from "../../api/uplink-protocol.ts";
import { AgentError, errno } from "../errors.ts";
import { parseAnnouncement } from "./announcement.ts";

type Saved = Pick<LauncherAnnouncement, "launchers" | "settings">;

export class Announcements {
  readonly #path: string;
  readonly #waiters = new Map<string, Set<() => void>>();
  #launchers: ReadonlyMap<string, AnnouncedLauncher>;
  #settings: AgentSettings | undefined;
  #saved: string;
  /**
   * Not kept on disk: it only has to tell two leaders apart that are connected at once. A lease that was deleted
   * (a new installation) counts from zero again, and a number on disk would then lock the operator out.
   */
  #term = 0;
  #replacing: Promise<unknown> = Promise.resolve();

  private constructor(path: string, { launchers, settings }: Saved) {
    this.#path = path;
    this.#launchers = byUid(launchers);
    this.#settings = settings;
    this.#saved = JSON.stringify({ launchers, settings });
  }

  /** The set that was saved at `path`; empty where there is none or it can't be read. */
  static async load(path: string, log: Logger): Promise<Announcements> {
    await mkdir(dirname(path), { recursive: true });
    try {
      const saved: unknown = JSON.parse(await readFile(path, "utf8"));
      return new Announcements(path, parseAnnouncement({ ...(saved as object), term: 0 }));
    } catch (error) {
      // The operator announces again as soon as it is connected, so a broken file must not end the agent.
      if (errno(error) !== "ENOENT") log.error({ err: error, path }, "the saved announcement is unreadable");
      return new Announcements(path, { launchers: [] });
    }
  }

  get podUids(): ReadonlySet<string> {
    return new Set(this.#launchers.keys());
  }

  get launchers(): readonly AnnouncedLauncher[] {
    return [...this.#launchers.values()];
  }

  /** Those that were told last; undefined as long as none were. */
  get settings(): AgentSettings | undefined {
    return this.#settings;
  }

  get(podUid: string): AnnouncedLauncher | undefined {
    return this.#launchers.get(podUid);
  }

  /**
   * Takes the whole new set, first to disk. Resolves with the UIDs that are in it no longer.
   * @throws AgentError StaleTerm
   */
  replace(announcement: LauncherAnnouncement): Promise<readonly string[]> {
    const result = this.#replacing.then(() => this.#replace(announcement));
    this.#replacing = result.catch(() => {});
    return result;
  }

  /**
   * The launcher of that pod, as soon as it is announced: a launcher may dial before its announcement has arrived.
   * @throws AgentError NotAnnounced when the signal aborts first
   */
  async waitFor(podUid: string, signal: AbortSignal): Promise<AnnouncedLauncher> {
    for (;;) {
      const launcher = this.#launchers.get(podUid);
      if (launcher !== undefined) return launcher;
      if (signal.aborted) {
        throw new AgentError("NotAnnounced", `the operator has not announced pod ${podUid} as a launcher`);
      }
      await this.#nextChange(podUid, signal);
    }
  }

  async #replace({
    term,
    launchers,
    settings = this.#settings,
  }: LauncherAnnouncement): Promise<readonly string[]> {
    if (term < this.#term) {
      throw new AgentError("StaleTerm", `term ${term} is over: term ${this.#term} has announced`);
    }
    const text = JSON.stringify({ launchers, settings });
    if (text !== this.#saved) {
      await writeAtomically(this.#path, text);
      this.#saved = text;
    }
    this.#term = term;
    this.#settings = settings;
    const before = this.#launchers;
    this.#launchers = byUid(launchers);
    for (const podUid of this.#launchers.keys()) {
      for (const wake of this.#waiters.get(podUid) ?? []) wake();
    }
    return [...before.keys()].filter((podUid) => !this.#launchers.has(podUid));
  }

  async #nextChange(podUid: string, signal: AbortSignal): Promise<void> {
    const waiters = this.#waiters.get(podUid) ?? new Set();
    this.#waiters.set(podUid, waiters);
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    waiters.add(wake);
    signal.addEventListener("abort", wake, { once: true });
    await promise;
    signal.removeEventListener("abort", wake);
    waiters.delete(wake);
    if (waiters.size === 0) this.#waiters.delete(podUid);
  }
}

function byUid(launchers: readonly AnnouncedLauncher[]): ReadonlyMap<string, AnnouncedLauncher> {
  return new Map(launchers.map((launcher) => [launcher.podUid, launcher]));
}

/** A crash at any point leaves the old content or the new. */
async function writeAtomically(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}
