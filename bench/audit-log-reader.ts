/** Reads what the API server wrote into its audit log between two moments. */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createReadStream, statSync, watch } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import type { Client } from "../kube/client.ts";
import { NotFoundError } from "../kube/errors.ts";
import { CONFIG_MAPS } from "../kube/resources.ts";
import { type AuditEvent, AuditLogError, parseAuditLine } from "./audit-log.ts";

const MARKER_TIMEOUT_MS = 30_000;

/** A request that the log shows: what stands between two marks was answered between them. */
export interface Mark {
  readonly name: string;
  /** Where to begin to look for the mark. */
  readonly inode: number;
  readonly offset: number;
}

export class AuditLogReader {
  readonly #client: Client;
  readonly #path: string;

  constructor(client: Client, path: string) {
    this.#client = client;
    this.#path = path;
  }

  /** Puts a mark into the log, with a read request for an object of a name that nobody else asks for. */
  async mark(): Promise<Mark> {
    const { ino, size } = statSync(this.#path);
    const name = `audit-mark-${randomUUID()}`;
    await this.#client
      .resource(CONFIG_MAPS)
      .namespace("default")
      .get(name)
      .catch((error: unknown) => {
        if (!(error instanceof NotFoundError)) throw error;
      });
    return { name, inode: ino, offset: size };
  }

  /**
   * Requests that were answered between two marks.
   * @throws AuditLogError when the log was rotated away or never shows the later mark
   */
  async between(from: Mark, to: Mark): Promise<AuditEvent[]> {
    const signal = AbortSignal.timeout(MARKER_TIMEOUT_MS);
    const changes = watch(dirname(this.#path), { signal });
    // An abort ends the wait below; without a listener it would end the process.
    changes.on("error", () => {});
    try {
      for (;;) {
        const events = await this.#read(from, to);
        if (events !== undefined) return events;
        await once(changes, "change", { signal }).catch((cause: unknown) => {
          const message = `the audit log ${this.#path} did not show a request within ${MARKER_TIMEOUT_MS} ms`;
          throw new AuditLogError(message, { cause });
        });
      }
    } finally {
      changes.close();
    }
  }

  /** Undefined while the later mark isn't there yet. */
  async #read(from: Mark, to: Mark): Promise<AuditEvent[] | undefined> {
    const events: AuditEvent[] = [];
    let isBetween = false;
    for await (const line of this.#lines(from)) {
      // The last line may be half written; the mark behind it will not be.
      if (!line.endsWith("}")) continue;
      const event = parseAuditLine(line);
      if (event === undefined) continue;
      if (event.name === to.name) return events;
      if (isBetween) events.push(event);
      if (event.name === from.name) isBetween = true;
    }
    return undefined;
  }

  /** Lines from the place of a mark on, through files that the API server has set aside since. */
  async *#lines(from: Mark): AsyncGenerator<string, void, void> {
    const folder = dirname(this.#path);
    const stem = basename(this.#path, ".log");
    // Set-aside files are named audit-<time>.log: in order, the present one last.
    const older = (await readdir(folder)).filter((name) => name.startsWith(`${stem}-`)).sort();
    const files = [...older.map((name) => join(folder, name)), this.#path];
    const first = files.findIndex((file) => statSync(file).ino === from.inode);
    if (first === -1) {
      throw new AuditLogError(
        `the audit log ${this.#path} was rotated away: its first lines are gone, measure less`,
      );
    }
    for (const [index, file] of files.slice(first).entries()) {
      const start = index === 0 ? from.offset : 0;
      yield* createInterface({ input: createReadStream(file, { start }), crlfDelay: Infinity });
    }
  }
}

/** The development cluster's audit log; another cluster's is out of reach. */
export function auditLogPath(): string {
  const state = process.env["VIRTPOD_CLUSTER_STATE"] ?? "/var/lib/virtpod-cluster";
  return join(state, "node-1/logs/audit.log");
}
