/** Which container a process belongs to, from its /proc/<pid>/cgroup (cgroups(7)). Pure. */

export interface ContainerIdentity {
  readonly podUid: string;
  /** 64 hexadecimal digits. */
  readonly containerId: string;
}

/** A container's cgroup in one hierarchy. */
export interface ContainerCgroup extends ContainerIdentity {
  /** None for cgroup v2. */
  readonly controllers: readonly string[];
  /** From the hierarchy's root as the reader sees it; the pod's cgroup is the one above. */
  readonly path: string;
}

/**
 * `pod<uid>/<container>` as the kubelet and the runtimes name cgroups: with the cgroupfs driver
 * `…/pod<uid>/<id>`, with the systemd driver `…-pod<uid with _>.slice/<runtime>-<id>.scope`.
 */
const CONTAINER =
  /(?:^|[/-])pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})(?:\.slice)?\/(?:[a-z-]+-)?([0-9a-f]{64})(?:\.scope)?(?=\/|$)/;

/**
 * The container that all hierarchies agree on; undefined for a process outside of any, or where they disagree.
 * In each path the outermost pod counts: what is below a container's cgroup its own processes may have named.
 * A path relative to the agent's cgroup namespace begins with `/..`, which changes nothing here.
 */
export function parseCgroup(text: string): ContainerIdentity | undefined {
  const [first, ...others] = containerCgroups(text);
  if (first === undefined) return undefined;
  const { podUid, containerId } = first;
  const agree = others.every((other) => other.podUid === podUid && other.containerId === containerId);
  return agree ? { podUid, containerId } : undefined;
}

/** Of each hierarchy in which the process is in a container; a cgroup that the process made below it is left out. */
export function containerCgroups(text: string): readonly ContainerCgroup[] {
  return text.split("\n").flatMap((line) => {
    const [, names = "", path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    const match = path === undefined ? null : CONTAINER.exec(path);
    if (path === undefined || match === null) return [];
    const [whole, uid = "", containerId = ""] = match;
    return {
      podUid: uid.replaceAll("_", "-"),
      containerId,
      controllers: names === "" ? [] : names.split(","),
      path: path.slice(0, match.index + whole.length),
    };
  });
}
