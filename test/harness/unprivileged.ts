/** Programs of this repository run as a launcher is: uid 107, no capability, nothing to be gained by set-uid. */
import { relative } from "node:path";
import { LAUNCHER_UID } from "../../api/names.ts";
import { ROOT } from "./cluster.ts";

/** An empty folder on every Debian. */
const MOUNT_POINT = "/mnt";

/**
 * A command that becomes Node with `program`. It sees the repository in a mount namespace of its own, because a
 * checkout may lie where only root can look, in /root for one.
 */
export function unprivileged(program: string, ...args: readonly string[]): string[] {
  const moved = (path: string) =>
    path.startsWith(`${ROOT}/`) ? `${MOUNT_POINT}/${relative(ROOT, path)}` : path;
  return [
    ...["unshare", "--mount", "sh", "-c", 'mount --bind "$1" "$2" && shift 2 && exec "$@"', "sh"],
    ...[ROOT, MOUNT_POINT, "setpriv", `--reuid=${LAUNCHER_UID}`, `--regid=${LAUNCHER_UID}`, "--clear-groups"],
    ...["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"],
    ...[moved(process.execPath), moved(program), ...args],
  ];
}
