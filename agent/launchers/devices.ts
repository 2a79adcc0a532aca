/**
 * Hands a container its own device nodes. The runtime makes them with the node's mode and, unless it is told otherwise,
 * root as their owner; the launcher isn't root.
 */
import {
  chownSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  type Stats,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { LAUNCHER_PATHS } from "../../api/names.ts";
import { AgentError, errno } from "../errors.ts";
import type { ProcessHandle } from "../peer/process.ts";

/** From fcntl.h: a descriptor for the file itself, without opening the device behind it. Node does not name it. */
const O_PATH = 0o10000000;
const MISC_MAJOR = 10;

/** Device nodes by path, with their minor numbers from the kernel's list of allocated devices. */
const DEVICE_MINORS: Readonly<Record<string, number>> = {
  "dev/kvm": 232,
  "dev/net/tun": 200,
  "dev/vhost-net": 238,
};
/** Where the pod's spec puts the block devices of PersistentVolumeClaims. */
const BLOCK_DEVICES = LAUNCHER_PATHS.devices.replace(/^\//, "");

export interface DeviceOwner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Gives `owner` the device nodes that the process's container has, and returns their paths. KubeVirt leaves block
 * volumes to the runtime's device_ownership_from_security_context, which most nodes have off.
 * A container could have put links and mounts of the node's own files where the device nodes are expected, so no link
 * is followed, and only a file that lies in the container's own /dev is touched.
 *
 * @param hostRoot the node's root directory as the agent sees it
 * @throws AgentError DeviceRefused, PeerGone
 */
export function handOverDevices(container: ProcessHandle, owner: DeviceOwner, hostRoot: string): string[] {
  return withDescriptor(container.path("root"), O_PATH | constants.O_DIRECTORY, (root) => {
    if (root === undefined) throw new AgentError("PeerGone", `process ${container.pid} has ended`);
    const handedOver = (path: string, check: Check) => handOver(root, path, check, owner, hostRoot);
    return [
      ...Object.entries(DEVICE_MINORS).filter(([path, minor]) =>
        handedOver(path, (found) => found.isCharacterDevice() && found.rdev === MISC_MAJOR * 256 + minor),
      ),
      ...blockDevices(root).filter(([path]) => handedOver(path, (found) => found.isBlockDevice())),
    ].map(([path]) => `/${path}`);
  });
}

/** Whether a file is the device that is expected. */
type Check = (found: Stats) => boolean;

function blockDevices(root: number): readonly (readonly [path: string])[] {
  return withComponents(root, BLOCK_DEVICES.split("/"), constants.O_DIRECTORY, (directory) =>
    directory === undefined
      ? []
      : readdirSync(`/proc/self/fd/${directory}`).map((name) => [`${BLOCK_DEVICES}/${name}`] as const),
  );
}

function handOver(root: number, path: string, check: Check, owner: DeviceOwner, hostRoot: string): boolean {
  return withDescriptor(child(root, "dev"), O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW, (dev) => {
    if (dev === undefined) return false;
    return withComponents(dev, path.split("/").slice(1), 0, (node) => {
      if (node === undefined) return false;
      requireOwnDevice(node, dev, path, check, hostRoot);
      const { uid, gid } = fstatSync(node);
      // Through the descriptor: what was checked is what is changed.
      if (uid !== owner.uid || gid !== owner.gid) chownSync(`/proc/self/fd/${node}`, owner.uid, owner.gid);
      return true;
    });
  });
}

/** Opens one component after the other without following links; `use` gets undefined where one is missing. */
function withComponents<T>(
  parent: number,
  names: readonly string[],
  lastKind: number,
  use: (fd: number | undefined) => T,
): T {
  const [name = "", ...rest] = names;
  const kind = rest.length > 0 ? constants.O_DIRECTORY : lastKind;
  return withDescriptor(child(parent, name), O_PATH | constants.O_NOFOLLOW | kind, (fd) =>
    fd === undefined || rest.length === 0 ? use(fd) : withComponents(fd, rest, lastKind, use),
  );
}

/** @throws AgentError DeviceRefused */
function requireOwnDevice(node: number, dev: number, path: string, check: Check, hostRoot: string): void {
  const found = fstatSync(node);
  if (!check(found)) {
    throw new AgentError("DeviceRefused", `/${path} in the container is not the device of that name`);
  }
  // A runtime that uses a user namespace mounts the node's own file instead of making one: its owner is not ours to change.
  const onHost = statSync(join(hostRoot, path), { throwIfNoEntry: false });
  const isHosts = onHost !== undefined && onHost.dev === found.dev && onHost.ino === found.ino;
  if (isHosts || found.dev !== fstatSync(dev).dev) {
    throw new AgentError("DeviceRefused", `/${path} in the container is mounted from the node`);
  }
}

function child(directory: number, name: string): string {
  return `/proc/self/fd/${directory}/${name}`;
}

/** `use` gets undefined where there is no such file. A link under O_NOFOLLOW | O_DIRECTORY fails with ENOTDIR. */
function withDescriptor<T>(path: string, flags: number, use: (fd: number | undefined) => T): T {
  let fd: number;
  try {
    fd = openSync(path, flags);
  } catch (cause) {
    if (errno(cause) === "ENOENT" || errno(cause) === "ESRCH") return use(undefined);
    throw new AgentError("DeviceRefused", "the container's /dev can't be opened", { cause });
  }
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}
