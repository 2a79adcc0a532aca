/** The development cluster's node from the inside: processes by container, links, namespaces, the agent's records. */
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { basename } from "node:path";
import type { Pod } from "../../kube/resources.ts";
import { capture } from "./command.ts";
import { eventually } from "./eventually.ts";

const RECORDS_MS = 30_000;

export interface NodeProcess {
  /** On this machine. */
  readonly pid: number;
  /** Name of the program's file, e.g. `node` or `qemu-system-x86_64`. */
  readonly program: string;
}

/** Processes of a pod's containers by their cgroup, the pause program's and exec's included. */
export function processesOf(podUid: string): NodeProcess[] {
  // The systemd driver writes the UID with underscores.
  const names = [podUid, podUid.replaceAll("-", "_")];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const cgroup = readFileSync(`/proc/${name}/cgroup`, "utf8");
        if (!names.some((uid) => cgroup.includes(uid))) return [];
        return [{ pid: Number(name), program: basename(readlinkSync(`/proc/${name}/exe`)) }];
      } catch {
        // It ended in between.
        return [];
      }
    });
}

/**
 * SIGKILL to each process of the pods that runs this program. All are found before the first is killed: who loses one
 * replica finds no other that is about to be lost.
 * @throws Error when there is a pod without one
 */
export function killProgram(pods: readonly Pod[], program: RegExp): void {
  const found = pods.flatMap(({ metadata }) => {
    const running = processesOf(metadata.uid).filter((one) => program.test(one.program));
    if (running.length === 0) throw new Error(`pod ${metadata.name} runs no ${program} on this machine`);
    return running;
  });
  for (const { pid } of found) process.kill(pid, "SIGKILL");
}

export interface PodTraces {
  readonly podUid: string;
  /** Name of the file that holds the pod's network namespace. Its inode would not do: the kernel gives it out again. */
  readonly namespace: string;
  /** The host's end of the pod's veth. */
  readonly link: string;
}

interface Link {
  readonly ifindex: number;
  readonly ifname: string;
  readonly link_index?: number;
}

const links = (args: readonly string[]) => JSON.parse(capture("./cluster/enter", args)) as Link[];

/** What a running launcher pod has on its node that must be gone after it. */
export function tracesOf(pod: Pod): PodTraces {
  const [first] = processesOf(pod.metadata.uid);
  if (first === undefined) throw new Error(`pod ${pod.metadata.name} has no process on this machine`);
  const inside = JSON.parse(
    capture("nsenter", [`--net=/proc/${first.pid}/ns/net`, "ip", "-json", "link"]),
  ) as Link[];
  const peer = inside.find(({ link_index }) => link_index !== undefined)?.link_index;
  const link = links(["ip", "-json", "link"]).find(({ ifindex }) => ifindex === peer);
  if (link === undefined) throw new Error(`pod ${pod.metadata.name} has no veth on its node`);
  const { ino } = statSync(`/proc/${first.pid}/ns/net`);
  // Not by find: it takes the inode from the directory, which has that of the file under the mount.
  const namespace = inNode("stat --format '%i %n' /run/netns/* || true")
    .find((line) => line.startsWith(`${ino} `))
    ?.split(" ")[1];
  if (namespace === undefined)
    throw new Error(`pod ${pod.metadata.name} has no network namespace in /run/netns`);
  return { podUid: pod.metadata.uid, namespace, link: link.ifname };
}

/** What is left of a pod, as sentences; none when it left nothing. */
export function remainsOf(traces: PodTraces): string[] {
  return [...runtimeRemainsOf(traces), ...recordsOf(traces)];
}

/**
 * What is left of a pod that is gone. Only the agent's records are waited for: they go at the operator's word, which the
 * pod's end doesn't wait for.
 */
export async function lastingRemainsOf(traces: PodTraces): Promise<string[]> {
  const remains = runtimeRemainsOf(traces);
  await eventually(async () => {
    const [kept] = recordsOf(traces);
    if (kept !== undefined) throw new Error(`pod ${traces.podUid} is gone and left ${kept}`);
  }, RECORDS_MS);
  return remains;
}

/** All that runtime, network and kubelet clear away. */
function runtimeRemainsOf({ podUid, namespace, link }: PodTraces): string[] {
  const remains = processesOf(podUid).map(({ pid, program }) => `process ${pid} (${program})`);
  if (links(["ip", "-json", "link"]).some(({ ifname }) => ifname === link)) remains.push(`link ${link}`);
  if (inNode("ls -d /run/netns/* || true").includes(namespace))
    remains.push(`network namespace ${namespace}`);
  const mounts = inNode("cat /proc/self/mountinfo").filter((line) => line.includes(podUid));
  if (mounts.length > 0) remains.push(`${mounts.length} mounts`);
  return remains;
}

function recordsOf({ podUid }: PodTraces): string[] {
  const found = capture("./cluster/enter", ["find", "/var/lib/virtpod/agent/state", "-name", `${podUid}*`]);
  return found === "" ? [] : [`the agent's ${found.trim()}`];
}

/** Lines that a shell in the node prints. */
function inNode(script: string): string[] {
  return capture("./cluster/enter", ["sh", "-c", script]).split("\n");
}

/** SIGKILL to the kubelet, which stays away until ensureKubelet. */
export function killKubelet(): void {
  const pid = kubeletPid();
  if (pid === undefined) throw new Error("the node runs no kubelet");
  capture("./cluster/enter", ["kill", "-KILL", pid]);
}

/** Returns when a kubelet runs and is healthy. */
export function ensureKubelet(): void {
  if (kubeletPid() === undefined) capture("./cluster/kubelet-restart", []);
}

/** In the node. */
function kubeletPid(): string | undefined {
  return capture("./cluster/enter", ["sh", "-c", "pidof kubelet || true"]).trim().split(" ")[0] || undefined;
}
