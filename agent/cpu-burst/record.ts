/**
 * What the agent has raised, on its disk before it raises it: an agent that was killed leaves it to the next one, to put
 * back what is no longer to be raised. One small file per pod.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { AgentError } from "../errors.ts";
import type { CgroupLocation } from "./location.ts";

export interface RaisedRecord {
  readonly podUid: string;
  readonly location: CgroupLocation;
  /** Where a reset ends, in thousandths of a CPU. */
  readonly baseMilliCpu: number;
  readonly podBaseMilliCpu: number;
  /** Quotas may be the agent's too; else bursts alone are, and quotas are the kubelet's. */
  readonly hasScaledQuotas: boolean;
}

/** Synchronous: a record must be there before the write that it is of, and the agent may be ending. */
export class RaisedRecords {
  readonly #directory: string;
  readonly #saved = new Map<string, { readonly record: RaisedRecord; readonly text: string }>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** What an earlier agent left behind; a file that can't be read is told of and removed. */
  load(log: Logger): readonly RaisedRecord[] {
    mkdirSync(this.#directory, { recursive: true });
    const records: RaisedRecord[] = [];
    for (const name of readdirSync(this.#directory)) {
      const path = join(this.#directory, name);
      try {
        const text = readFileSync(path, "utf8");
        const record = parseRecord(JSON.parse(text));
        if (name !== `${record.podUid}.json`) throw new Error(`it is of pod ${record.podUid}`);
        records.push(record);
        this.#saved.set(record.podUid, { record, text });
      } catch (error) {
        // Of an agent that was killed before it raised anything, where the name ends so.
        if (!name.endsWith(".new"))
          log.error({ err: error, path }, "a record of a raised limit is unreadable");
        rmSync(path, { force: true });
      }
    }
    return records;
  }

  /**
   * A process that is killed leaves the old record or the new; after a crash of the machine nothing is raised.
   * @throws AgentError RecordFailed
   */
  save(record: RaisedRecord): void {
    const text = JSON.stringify(record);
    if (this.#saved.get(record.podUid)?.text === text) return;
    const path = this.#path(record.podUid);
    try {
      writeFileSync(`${path}.new`, text, { mode: 0o600 });
      renameSync(`${path}.new`, path);
    } catch (cause) {
      throw new AgentError("RecordFailed", `${path} can't be written, so nothing is raised`, { cause });
    }
    this.#saved.set(record.podUid, { record, text });
  }

  /** All that is raised. */
  all(): readonly RaisedRecord[] {
    return [...this.#saved.values()].map(({ record }) => record);
  }

  /** Undefined where nothing is raised. */
  get(podUid: string): RaisedRecord | undefined {
    return this.#saved.get(podUid)?.record;
  }

  remove(podUid: string): void {
    if (!this.#saved.has(podUid)) return;
    rmSync(this.#path(podUid), { force: true });
    this.#saved.delete(podUid);
  }

  #path(podUid: string): string {
    return join(this.#directory, `${podUid}.json`);
  }
}

const UID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** @throws Error for what no agent wrote */
function parseRecord(value: unknown): RaisedRecord {
  if (typeof value !== "object" || value === null) throw new Error("it holds no object");
  const { podUid, location, baseMilliCpu, podBaseMilliCpu, hasScaledQuotas } = value as Partial<RaisedRecord>;
  if (podUid === undefined || !UID.test(podUid)) throw new Error("it names no pod");
  if (!isLocation(location)) throw new Error("it names no cgroups");
  if (!isLimit(baseMilliCpu) || !isLimit(podBaseMilliCpu)) throw new Error("it names no limit");
  return { podUid, location, baseMilliCpu, podBaseMilliCpu, hasScaledQuotas: hasScaledQuotas === true };
}

function isLocation(value: unknown): value is CgroupLocation {
  if (typeof value !== "object" || value === null) return false;
  const { version, ...paths } = value as Record<string, unknown>;
  const needed = ["pod", "container", "accounting"];
  return (
    (version === 1 || version === 2) &&
    needed.every((name) => name in paths) &&
    Object.values(paths).every((path) => typeof path === "string" && path.startsWith("/"))
  );
}

function isLimit(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}
