/** The extended resources that a node offers, and what a container gets with one of them. Pure. */
import {
  DEVICE_KVM,
  DEVICE_LAUNCHER,
  DEVICE_TUN,
  DEVICE_VHOST_NET,
  LAUNCHER_PATHS,
} from "../../api/names.ts";
import type { ContainerAllocation, Device } from "./protocol.ts";

/**
 * Devices offered per resource. The device nodes are shared by any number of containers, so this is only a bound on
 * launchers per node; KubeVirt's default is the same.
 */
export const DEVICES_PER_RESOURCE = 1000;

export interface PluginResource {
  /** Name of the extended resource, e.g. `devices.kubevirt.io/tun`. */
  readonly name: string;
  /** Its socket file in the device plugin directory. */
  readonly endpoint: string;
  /** Stem of the device IDs. */
  readonly stem: string;
  /** The device node, the same path on the node and in the container; absent for the launcher resource. */
  readonly devicePath?: string;
}

export const PLUGIN_RESOURCES: readonly PluginResource[] = [
  { name: DEVICE_LAUNCHER, endpoint: "virtpod-launcher.sock", stem: "launcher" },
  { name: DEVICE_KVM, endpoint: "virtpod-kvm.sock", stem: "kvm", devicePath: "/dev/kvm" },
  { name: DEVICE_TUN, endpoint: "virtpod-tun.sock", stem: "tun", devicePath: "/dev/net/tun" },
  {
    name: DEVICE_VHOST_NET,
    endpoint: "virtpod-vhost-net.sock",
    stem: "vhost-net",
    devicePath: "/dev/vhost-net",
  },
];

/** What decides whether a node can give a resource. */
export interface NodeDevices {
  /** A probe guest really ran under KVM: the presence of /dev/kvm says nothing about ordinary guests. */
  readonly kvmUsable: boolean;
  /** Paths of the device nodes that exist on the node. */
  readonly devicePaths: ReadonlySet<string>;
}

export function isAvailable(resource: PluginResource, node: NodeDevices): boolean {
  if (resource.name === DEVICE_KVM && !node.kvmUsable) return false;
  return resource.devicePath === undefined || node.devicePaths.has(resource.devicePath);
}

export function devicesOf(resource: PluginResource, healthy: boolean): Device[] {
  return Array.from({ length: DEVICES_PER_RESOURCE }, (_, i) => ({ id: `${resource.stem}${i}`, healthy }));
}

/**
 * What one container gets with one or more devices of `resource`. Every resource brings the agent's directory along:
 * the kubelet joins equal mounts of several resources into one. The directory is mounted, never the socket, so that
 * a container sees the new socket of a restarted agent.
 */
export function allocate(resource: PluginResource, agentDirectory: string): ContainerAllocation {
  return {
    mounts: [{ containerPath: LAUNCHER_PATHS.agent, hostPath: agentDirectory, readOnly: true }],
    devices:
      resource.devicePath === undefined
        ? []
        : [{ containerPath: resource.devicePath, hostPath: resource.devicePath, permissions: "rw" }],
  };
}
