/** Which container a process belongs to, from its /proc/<pid>/cgroup (cgroups(7)). Pure. */

export interface ContainerIdentity {
  readonly podUid: string;
  /** 64 hexadecimal digits. */
  readonly containerId: string;
}

/**
 * `pod<uid>/<container>` as the kubelet and the runtimes name cgroups: with the cgroupfs driver
 * `…/pod<uid>/<id>`, with the systemd driver `…-pod<uid with _>.slice/<runtime>-<id>.scope`.
 */
const CONTAINER =
  /(?:^|[/-])pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})(?:\.slice)?\/(?:[a-z-]+-)?([0-9a-f]{64})(?:\.scope)?(?:\/|$)/;

/**
 * The container that all hierarchies agree on; undefined for a process outside of any, or where they disagree.
 * In each path the outermost pod counts: what is below a container's cgroup its own processes may have named.
 * A path relative to the agent's cgroup namespace begins with `/..`, which changes nothing here.
 */
export function parseCgroup(text: string): ContainerIdentity | undefined {
  let found: ContainerIdentity | undefined;
  for (const line of text.split("\n")) {
    const path = /^\d+:[^:]*:(.*)$/.exec(line)?.[1];
    const match = path === undefined ? null : CONTAINER.exec(path);
    if (match === null) continue;
    const [, uid = "", containerId = ""] = match;
    const podUid = uid.replaceAll("_", "-");
    if (found !== undefined && (found.podUid !== podUid || found.containerId !== containerId))
      return undefined;
    found = { podUid, containerId };
  }
  return found;
}
