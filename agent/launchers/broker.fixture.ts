/** A broker that wires for real, and launchers in pods with a network of their own, for tests; needs root. */
import type { ChildProcess } from "node:child_process";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Logger, pino } from "pino";
import type { Attachment } from "../../api/launcher-protocol.ts";
import { LAUNCHER_UID } from "../../api/names.ts";
import { systemClock } from "../../lib/clock.ts";
import { inspectNetwork } from "../network/inspect.ts";
import type { Pod } from "../network/lab.fixture.ts";
import { Node, optionsFor } from "../network/pod.fixture.ts";
import type { WireOptions } from "../network/types.ts";
import { watchNetwork } from "../network/watch/watch.ts";
import { forgetOtherNetworks, wireNetwork } from "../network/wire.ts";
import { FakePod } from "../peer/fake-pod.ts";
import { namespaceIdOf } from "../peer/identity.ts";
import { announced } from "./announced.fixture.ts";
import { Announcements } from "./announcements.ts";
import { BootTurns } from "./boot-turns.ts";
import { Broker } from "./broker.ts";
import { StatusRegistry } from "./registry.ts";

const FAKE_LAUNCHER = join(import.meta.dirname, "fake-launcher.ts");

/** A pod with processes and a network. */
export interface LauncherPod {
  readonly processes: FakePod;
  readonly network: Pod;
}

export interface BrokerLabOptions {
  /** In place of the real wiring. */
  readonly wireNetwork?: typeof wireNetwork;
  readonly announcementDeadlineMs?: number;
  readonly bootSlots?: number;
  readonly log?: Logger;
}

export class BrokerLab implements AsyncDisposable {
  readonly node = new Node();
  readonly registry = new StatusRegistry({ kvm: { usable: false, reason: "" }, agentVersion: "0" });
  readonly socketPath: string;
  readonly broker: Broker;
  readonly #directory: string;
  readonly #pods: FakePod[] = [];
  #addresses = 0;

  private constructor(directory: string, announcements: Announcements, options: BrokerLabOptions) {
    const { log = pino({ level: "silent" }), announcementDeadlineMs } = options;
    this.#directory = directory;
    this.socketPath = join(directory, "socket", "agent.sock");
    this.broker = new Broker({
      socketPath: this.socketPath,
      announcements,
      registry: this.registry,
      forbiddenNamespaces: new Set([namespaceIdOf("/proc/self/ns/net")]),
      hostNetns: this.node.path,
      networkState: this.node.stateDirectory,
      // As many guests as there are may boot at once, unless a test is about their turns.
      bootTurns: new BootTurns({ slots: options.bootSlots ?? Number.POSITIVE_INFINITY, clock: systemClock }),
      wireNetwork: options.wireNetwork ?? wireNetwork,
      inspectNetwork,
      watchNetwork,
      forgetOtherNetworks,
      // These containers have no device nodes of their own.
      handOverDevices: () => [],
      letBurst: () => {},
      announced: () => ({ pendingCpu: [] }),
      ...(announcementDeadlineMs !== undefined && { announcementDeadlineMs }),
      log,
    });
  }

  static async create(options: BrokerLabOptions = {}): Promise<BrokerLab> {
    const directory = await mkdtemp(join(tmpdir(), "broker-"));
    await chmod(directory, 0o755);
    const log = options.log ?? pino({ level: "silent" });
    const announcements = await Announcements.load(join(directory, "state", "launchers.json"), log);
    const lab = new BrokerLab(directory, announcements, options);
    await lab.broker.start();
    return lab;
  }

  async addPod(): Promise<LauncherPod> {
    const address = this.#addresses++;
    const network = this.node.addPod(`10.244.0.${2 + (address % 250)}`);
    const processes = await FakePod.create();
    this.#pods.push(processes);
    return { processes, network };
  }

  /** A cgroup below a pod's own, called as if it were the other pod's. */
  async disguise(pod: LauncherPod, as: LauncherPod): Promise<LauncherPod> {
    const processes = await FakePod.create(as.processes.podUid, pod.processes);
    // Removed before the one that it lies in.
    this.#pods.unshift(processes);
    return { processes, network: pod.network };
  }

  async removePod(pod: LauncherPod): Promise<void> {
    await pod.processes.remove();
    this.#pods.splice(this.#pods.indexOf(pod.processes), 1);
    this.node.removeNamespace(pod.network.netns);
  }

  /** These pods, and no others, are launchers from now on. */
  async announce(...pods: readonly LauncherPod[]): Promise<void> {
    const launchers = pods.map(({ processes: { podUid } }) => announced(podUid));
    await this.broker.announce({ term: 1, launchers });
  }

  /** What the wiring of a pod is called with, for looking at it afterwards. */
  wireOptions(pod: LauncherPod): WireOptions {
    return optionsFor(this.node, pod.network, {
      podUid: pod.processes.podUid,
      interfaces: announced(pod.processes.podUid).interfaces,
    });
  }

  launcher(pod: LauncherPod): Launcher {
    return new Launcher(this.run(pod, [FAKE_LAUNCHER, this.socketPath]));
  }

  /** Runs `node` with these arguments in the pod, as root. */
  run(pod: LauncherPod, nodeArguments: readonly string[]): ChildProcess {
    return pod.processes.spawn(nodeArguments, { netns: pod.network.path });
  }

  /**
   * Runs a script in the pod as the launchers' user, with `dial()` to connect to the agent, `happens()` to wait for an
   * event whatever else goes wrong, and `say()` for a line to the test.
   */
  abuse(pod: LauncherPod, script: string): Lines {
    const prelude = `
      const net = require("node:net"), { randomBytes } = require("node:crypto");
      process.setgid(${LAUNCHER_UID});
      process.setuid(${LAUNCHER_UID});
      const happens = (socket, event) => new Promise((resolve) => socket.once(event, resolve));
      const dial = () => net.connect(${JSON.stringify(this.socketPath)}).on("error", () => {});
      const say = (line) => process.stdout.write(JSON.stringify(line) + "\\n");
      process.stdin.resume();
    `;
    return new Lines(this.run(pod, ["-e", `${prelude}(async () => { ${script} })();`]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.broker.stop();
    for (const pod of this.#pods) await pod.remove();
    await this.node[Symbol.asyncDispose]();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** A process that says JSON lines. */
export class Lines {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(process: ChildProcess) {
    this.process = process;
    if (process.stdout === null) throw new Error("the process has no standard output");
    this.#lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
  }

  async next(): Promise<unknown> {
    const line = await this.#lines.next();
    if (line.done === true) throw new Error("the process has ended");
    return JSON.parse(line.value);
  }

  send(line: object): void {
    this.process.stdin?.write(`${JSON.stringify(line)}\n`);
  }
}

export class Launcher extends Lines {
  /** What the agent gave it. @throws Error when the agent asks or says anything else first */
  async attachment(): Promise<Attachment> {
    const { event, value } = (await this.next()) as { event: string; value: Attachment };
    if (event !== "attachment") throw new Error(`the launcher has "${event}" in place of an attachment`);
    return value;
  }
}
