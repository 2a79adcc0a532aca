/** A place for processes that looks to the agent like a pod's container: a cgroup and, on demand, a network. For tests; root. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, rmdir } from "node:fs/promises";
import { join } from "node:path";

// Any hierarchy serves; on a cgroup v1 machine the memory controller's has a place for processes.
const CGROUP_ROOT = existsSync("/sys/fs/cgroup/cgroup.controllers")
  ? "/sys/fs/cgroup"
  : "/sys/fs/cgroup/memory";

export interface FakeProcessOptions {
  /** Without it the process stays in the test's own cgroup, outside of any pod. Default true. */
  readonly inPod?: boolean;
  /** Without it the process shares the test's network. Default true. */
  readonly ownNetwork?: boolean;
  /** Path of the network namespace in place of one of its own. */
  readonly netns?: string;
}

export class FakePod {
  readonly podUid: string;
  readonly containerId: string;
  readonly #podCgroup: string;
  readonly #containerCgroup: string;
  readonly #children: ChildProcess[] = [];

  private constructor(podUid: string, containerId: string, parent: string) {
    this.podUid = podUid;
    this.containerId = containerId;
    this.#podCgroup = join(parent, `pod${podUid}`);
    this.#containerCgroup = join(this.#podCgroup, containerId);
  }

  /** @param within the pod whose container makes itself such cgroups, below its own */
  static async create(podUid: string = crypto.randomUUID(), within?: FakePod): Promise<FakePod> {
    const containerId = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
    const pod = new FakePod(
      podUid,
      containerId,
      within === undefined ? CGROUP_ROOT : within.#containerCgroup,
    );
    await mkdir(pod.#containerCgroup, { recursive: true });
    return pod;
  }

  /** Runs `node ...arguments` in the pod as root; it drops to another user by itself, with its files loaded. */
  spawn(nodeArguments: readonly string[], options: FakeProcessOptions = {}): ChildProcess {
    const { inPod = true, ownNetwork = true, netns } = options;
    const enter = inPod ? `echo $$ > ${this.#containerCgroup}/cgroup.procs; ` : "";
    const unshare = ownNetwork ? ["unshare", "--net"] : [];
    const enterNetwork = netns === undefined ? unshare : ["nsenter", `--net=${netns}`];
    const command = [...enterNetwork, process.execPath, ...nodeArguments];
    const child = spawn("sh", ["-c", `${enter}exec "$@"`, "sh", ...command], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#children.push(child);
    return child;
  }

  /** Ends its processes and removes its cgroups. */
  async remove(): Promise<void> {
    await Promise.all(this.#children.map(end));
    await rmdir(this.#containerCgroup);
    await rmdir(this.#podCgroup);
  }
}

/** Resolves once the process is gone. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}
