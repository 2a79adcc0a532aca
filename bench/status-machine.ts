/**
 * One VM that is changed in every way in which users and guests change one. Each method makes one change, and resolves
 * with how long the VM's watch took to tell of it: from the request that was sent, or from the moment at which the
 * guest itself changed, as its kernel or qemu's process tells.
 */
import { readFileSync } from "node:fs";
import type { VirtualMachine } from "../api/virtual-machine.ts";
import type { Client } from "../kube/client.ts";
import { mergePatch } from "../kube/request.ts";
import type { Pod } from "../kube/resources.ts";
import { VIRTUAL_MACHINES } from "../operator/kinds.ts";
import { conditionOf } from "../operator/vmi/conditions.ts";
import { Guests } from "../test/harness/guest.ts";
import { followLog } from "../test/harness/log.ts";
import { podProcesses } from "./pod-processes.ts";
import type { VmWatch } from "./vm-watch.ts";

const TIMEOUT_MS = 60_000;
const QEMU = /^qemu-system/;

export interface Change {
  readonly kind: string;
  readonly toldMs: number;
}

export class StatusMachine {
  readonly #name: string;
  readonly #watch: VmWatch;
  readonly #client: Client;
  readonly #namespace: string;
  readonly #guests: Guests;

  constructor(name: string, watch: VmWatch, client: Client, namespace: string) {
    this.#name = name;
    this.#watch = watch;
    this.#client = client;
    this.#namespace = namespace;
    this.#guests = new Guests(client, namespace);
  }

  /** From qemu's start to Running. */
  async runs(): Promise<Change> {
    const told = await this.#told("Running");
    const pod = await this.#guests.pod(this.#name);
    return { kind: "runs", toldMs: told - qemuStartedAtMs(pod) };
  }

  /** Until it can be typed to. */
  async answers(): Promise<void> {
    await this.#guests.answering(this.#name, TIMEOUT_MS);
  }

  /** What has ended is cleared away, pod and all. */
  async isCleared(): Promise<void> {
    await this.#watch.until(this.#name, "no instance", TIMEOUT_MS, ({ status }) => {
      return conditionOf(status?.conditions, "Ready")?.reason === "VMINotExists";
    });
  }

  async starts(): Promise<Change> {
    await this.isCleared();
    const isHalted = this.#watch.get(this.#name)?.spec.runStrategy === "Halted";
    const start = () =>
      isHalted ? this.#patch({ runStrategy: "Always" }) : this.#put("virtualmachines", "start");
    return this.#asked("start", start, ({ status }) => status?.printableStatus === "Starting");
  }

  stops(): Promise<Change> {
    const stop = () => this.#patch({ runStrategy: "Halted" });
    return this.#asked("stop", stop, ({ status }) => status?.printableStatus === "Stopping");
  }

  pauses(): Promise<Change> {
    const pause = () => this.#put("virtualmachineinstances", "pause");
    return this.#asked("pause", pause, ({ status }) => status?.printableStatus === "Paused");
  }

  unpauses(): Promise<Change> {
    const unpause = () => this.#put("virtualmachineinstances", "unpause");
    return this.#asked("unpause", unpause, ({ status }) => status?.printableStatus === "Running");
  }

  /** Another template, which waits for the next start. */
  edits(): Promise<Change> {
    return this.#asked("edit", () => this.#rename("edited"), isRestartRequired);
  }

  /** The template that the guest was started from. */
  editsBack(): Promise<Change> {
    return this.#asked(
      "edit back",
      () => this.#rename(null),
      (vm) => !isRestartRequired(vm),
    );
  }

  /** The guest's kernel goes down after a stop was asked for: from its last word to Stopped. */
  async #goesDown(
    kind: string,
    lastWord: RegExp,
    act: () => Promise<unknown>,
    status: string,
  ): Promise<Change> {
    const pod = await this.#guests.pod(this.#name);
    const said = saidAtMs(this.#client, pod, lastWord);
    // Whoever fails first says why.
    said.catch(() => {});
    await act();
    const [saidMs, toldMs] = await Promise.all([said, this.#told(status)]);
    return { kind, toldMs: toldMs - saidMs };
  }

  /** Stops by request; both what was asked and what the guest then does are changes. */
  async stopsAndEnds(): Promise<readonly Change[]> {
    const asked: Change[] = [];
    const ended = await this.#goesDown(
      "ends when asked",
      /reboot: Power down/,
      async () => asked.push(await this.stops()),
      "Stopped",
    );
    return [...asked, ended];
  }

  panics(): Promise<Change> {
    const panic = () => this.#guests.type(this.#name, "panic");
    return this.#goesDown("panics", /Kernel panic - not syncing/, panic, "CrashLoopBackOff");
  }

  /** By itself; under Always the next start is what is told. */
  async powersOff(): Promise<Change> {
    const pod = await this.#guests.pod(this.#name);
    const said = saidAtMs(this.#client, pod, /reboot: Power down/);
    const told = this.#watch.until(this.#name, "another status than Running", TIMEOUT_MS, ({ status }) => {
      return status?.printableStatus !== "Running";
    });
    for (const promise of [said, told]) promise.catch(() => {});
    await this.#guests.type(this.#name, "poweroff");
    return { kind: "powers off", toldMs: (await told) - (await said) };
  }

  async qemuDies(): Promise<Change> {
    const pod = await this.#guests.pod(this.#name);
    const [qemu] = podProcesses(pod.metadata.uid).filter(({ program }) => QEMU.test(program));
    if (qemu === undefined) throw new Error(`pod ${pod.metadata.name} runs no qemu on this machine`);
    const told = this.#told("CrashLoopBackOff");
    const killedMs = Date.now();
    process.kill(qemu.pid, "SIGKILL");
    return { kind: "qemu dies", toldMs: (await told) - killedMs };
  }

  async #asked(
    kind: string,
    ask: () => Promise<unknown>,
    when: (vm: VirtualMachine) => boolean,
  ): Promise<Change> {
    const told = this.#watch.until(this.#name, kind, TIMEOUT_MS, when);
    // Whoever fails first says why.
    told.catch(() => {});
    const askedMs = Date.now();
    await ask();
    return { kind, toldMs: (await told) - askedMs };
  }

  #told(printableStatus: string): Promise<number> {
    return this.#watch.until(this.#name, printableStatus, TIMEOUT_MS, ({ status }) => {
      return status?.printableStatus === printableStatus;
    });
  }

  #patch(spec: object): Promise<VirtualMachine> {
    const vms = this.#client.resource(VIRTUAL_MACHINES).namespace(this.#namespace);
    return vms.patch(this.#name, mergePatch({ spec }));
  }

  #rename(hostname: string | null): Promise<VirtualMachine> {
    return this.#patch({ template: { spec: { hostname } } });
  }

  #put(plural: string, verb: string): Promise<unknown> {
    const path = `/apis/subresources.kubevirt.io/v1/namespaces/${this.#namespace}/${plural}/${this.#name}/${verb}`;
    return this.#client.requestText({ method: "PUT", path, body: {}, action: `${verb} ${this.#name}` });
  }
}

function isRestartRequired({ status }: VirtualMachine): boolean {
  return conditionOf(status?.conditions, "RestartRequired")?.status === "True";
}

/** Unix time of the container runtime's stamp on the first such line. */
async function saidAtMs(client: Client, { metadata }: Pod, word: RegExp): Promise<number> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const where = { namespace: metadata.namespace ?? "", name: metadata.name };
  for await (const { atMs, text } of followLog(client, where, signal)) if (word.test(text)) return atMs;
  throw new Error(`the guest in pod ${metadata.name} never said ${word}`);
}

/** The kernel counts a process's start in clock ticks since boot; USER_HZ is 100 on every Linux (man 5 proc). */
function qemuStartedAtMs({ metadata }: Pod): number {
  const [qemu] = podProcesses(metadata.uid).filter(({ program }) => QEMU.test(program));
  if (qemu === undefined) throw new Error(`pod ${metadata.name} runs no qemu on this machine`);
  // The name, in parentheses, may hold blanks; the start is the 20th field behind it.
  const fields = readFileSync(`/proc/${qemu.pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  const [uptimeSeconds = ""] = readFileSync("/proc/uptime", "utf8").split(" ");
  return Date.now() - Number(uptimeSeconds) * 1000 + Number(fields[19]) * 10;
}
