/** Where the node's cgroup file systems hold a launcher's cgroups, by its /proc/<pid>/cgroup. Pure but for looking. */
import { posix } from "node:path";
import { type ContainerCgroup, containerCgroups } from "../peer/cgroup.ts";
import type { Level } from "./bandwidth.ts";

export type CgroupVersion = 1 | 2;

/** Absolute paths of directories. */
export interface CgroupLocation extends Readonly<Record<Level, string>> {
  readonly version: CgroupVersion;
  /** The container's in the hierarchy that counts CPU time: on cgroup v1 it may be another. */
  readonly accounting: string;
  /** The container's in those of cpusets and memory; absent where they aren't mounted. */
  readonly cpuset?: string;
  readonly memory?: string;
}

/**
 * Undefined where no hierarchy with the cpu controller has the container.
 * @param root where the node's /sys/fs/cgroup is mounted
 * @param text of /proc/<pid>/cgroup
 * @param exists whether a path exists
 */
export function locate(
  root: string,
  text: string,
  exists: (path: string) => boolean,
): CgroupLocation | undefined {
  const cgroups = containerCgroups(text);
  const at = (controller: string) => {
    const cgroup = cgroups.find(({ controllers }) => controllers.includes(controller));
    return cgroup === undefined ? undefined : existing(mounts(root, cgroup, controller), cgroup, exists);
  };
  const cpu = at("cpu");
  if (cpu !== undefined) {
    const [cpuset, memory] = [at("cpuset"), at("memory")];
    return {
      version: 1,
      container: cpu,
      pod: posix.dirname(cpu),
      accounting: at("cpuacct") ?? cpu,
      ...(cpuset !== undefined && { cpuset }),
      ...(memory !== undefined && { memory }),
    };
  }
  const unified = cgroups.find(({ controllers }) => controllers.length === 0);
  // Beside hierarchies of cgroup v1 it has no controllers, and no such file.
  const container = unified && existing([root], unified, (path) => exists(posix.join(path, "cpu.max")));
  if (container === undefined) return undefined;
  const pod = posix.dirname(container);
  return { version: 2, container, pod, accounting: container, cpuset: container, memory: container };
}

/** Where a hierarchy of cgroup v1 is mounted by custom: `cpu,cpuacct`, and a link for each of the two. */
function mounts(root: string, { controllers }: ContainerCgroup, controller: string): readonly string[] {
  return [controllers.join(","), controller].map((name) => posix.join(root, name));
}

/**
 * The path is the kernel's, as the agent's cgroup namespace shows it, and the mount shows perhaps a part of the tree
 * (a node that is itself a container): so what is above the kubelet's cgroups may be missing. Pod and container have
 * unique names, and whatever is found under them is theirs.
 */
function existing(
  mounts: readonly string[],
  { path }: ContainerCgroup,
  exists: (path: string) => boolean,
): string | undefined {
  const names = path.split("/").filter((name) => name !== "" && name !== "..");
  for (let above = 0; above <= names.length - 2; above++) {
    const found = mounts.map((mount) => posix.join(mount, ...names.slice(above))).find(exists);
    if (found !== undefined) return found;
  }
  return undefined;
}
