/** Every name that crosses a process boundary: labels, annotations, finalizers, devices, paths, ports. */

export const KUBEVIRT_GROUP = "kubevirt.io";
export const KUBEVIRT_VERSION = "v1";
export const SUBRESOURCES_GROUP = "subresources.kubevirt.io";
/** Subresources of VMIs that KubeVirt doesn't have. */
export const OWN_SUBRESOURCES_GROUP = "subresources.virtpod.io";

/** Label on every launcher pod; KubeVirt's value, so that selectors and dashboards carry over. */
export const LABEL_APP = "kubevirt.io";
export const LABEL_APP_LAUNCHER = "virt-launcher";
/** Label on the launcher pod: UID of the VMI that owns it. */
export const LABEL_CREATED_BY = "kubevirt.io/created-by";
/** Label on the launcher pod and the VMI: name of the VM or VMI. */
export const LABEL_VM_NAME = "vm.kubevirt.io/name";
/** Label on a VMI whose launcher is of another image than a new one would be; its value is empty. KubeVirt's. */
export const LABEL_OUTDATED_LAUNCHER = "kubevirt.io/outdatedLauncherImage";
/** Label on the launcher pod: name of the VMI, hashed where it is long. What `virtctl expose` selects by. */
export const LABEL_INSTANCE_ID = "vmi.kubevirt.io/id";
/** A name as a label's value: at most 63 characters that end in a letter or digit. */
export function labelValue(name: string): string {
  return name.slice(0, 63).replace(/[-.]+$/, "");
}
/** Annotation on the launcher pod: name of the VMI. */
export const ANNOTATION_DOMAIN = "kubevirt.io/domain";
/** Annotation on a VMI: its VM's template as it was started (JSON), to tell when a restart is required. */
export const ANNOTATION_STARTED_TEMPLATE = "virtpod.io/started-template";
/** Annotation on a VMI: generation of the VM it was made from. */
export const ANNOTATION_VM_GENERATION = "kubevirt.io/vm-generation";
/** Annotation on a VMI: names of interfaces, separated by commas, on which its guest may send from any MAC and address. */
export const ANNOTATION_UNGUARDED_INTERFACES = "virtpod.io/unguarded-interfaces";

/** Readiness gate of a launcher pod whose guest starts paused: True once it runs. KubeVirt's. */
export const CONDITION_UNPAUSED = "kubevirt.io/virtual-machine-unpaused";

/** Keeps a deleted VM until its VMI is gone. */
export const FINALIZER_VM = "kubevirt.io/virtualMachineControllerFinalize";
/** Keeps a deleted VMI until its launcher pod is gone. */
export const FINALIZER_VMI = "kubevirt.io/foregroundDeleteVirtualMachine";
/** Keeps a finished launcher pod until the operator has read how the domain ended (as Jobs do). */
export const FINALIZER_POD = "virtpod.io/domain-end";

/** Extended resources offered by the agent's device plugin. */
export const DEVICE_KVM = "devices.kubevirt.io/kvm";
export const DEVICE_TUN = "devices.kubevirt.io/tun";
export const DEVICE_VHOST_NET = "devices.kubevirt.io/vhost-net";
/** Requested by every launcher; its allocation mounts the agent's directory into the pod. */
export const DEVICE_LAUNCHER = "virtpod.io/launcher";

/** Name of the one container of a launcher pod; KubeVirt's. */
export const LAUNCHER_CONTAINER = "compute";
/** uid and gid of everything inside a launcher pod (Debian's and KubeVirt's qemu user). */
export const LAUNCHER_UID = 107;

/** Paths inside a launcher pod. */
export const LAUNCHER_PATHS = {
  /** The agent's directory, read-only, mounted by the device plugin's Allocate response. */
  agent: "/run/virtpod/agent",
  /** The agent's socket in it; the launcher dials it. */
  agentSocket: "/run/virtpod/agent/agent.sock",
  /** libvirt capability caches of this node and image, one folder per accelerator (`kvm`, `tcg`). */
  capabilities: "/run/virtpod/agent/capabilities",
  /** One folder per volume, named as the volume. */
  volumes: "/run/virtpod/volumes",
  /** One device per volume of mode Block, named as the volume. */
  devices: "/dev/virtpod",
  /** One folder per access credential, named by its index: its mounted Secret. */
  credentials: "/run/virtpod/credentials",
  /** The kernelBoot image volume. */
  kernelBoot: "/run/virtpod/kernel-boot",
  /** emptyDir for overlays over container disks. */
  scratch: "/run/virtpod/scratch",
  /** emptyDir (memory) for sockets, pid files, XDG folders. */
  runtime: "/run/virtpod/runtime",
  /** ISO images that the launcher makes of cloud-init data and mounted files; in `runtime`, because they may hold secrets. */
  images: "/run/virtpod/runtime/images",
  /** Where the launcher answers a probe that has to go through the guest agent. */
  probeSocket: "/run/virtpod/runtime/probe.sock",
  /** The program that asks there. */
  probe: "/usr/bin/virtpod-probe",
  /** The kubelet's default termination message path. */
  terminationMessage: "/dev/termination-log",
} as const;

/** Environment variable of the launcher that holds the LaunchSpec as JSON. */
export const ENV_LAUNCH_SPEC = "VIRTPOD_LAUNCH_SPEC";
/** The node's name, where the launcher has to tell it: of a machine with dedicated CPUs. */
export const ENV_NODE_NAME = "VIRTPOD_NODE_NAME";
/** Largest LaunchSpec in bytes: execve(2) allows 128 KiB (MAX_ARG_STRLEN) for one string, name and `=` included. */
export const LAUNCH_SPEC_MAX_BYTES = 128 * 1024 - 64;

/** Link-local address of interface number `index` of the launcher's side of the bridge, which serves DHCP. */
export function bridgeAddress(index: number): string {
  if (!Number.isInteger(index) || index < 0 || index > 9) {
    throw new RangeError(`interface number ${index} is outside 0..9`);
  }
  return `169.254.75.1${index}`;
}

/** Audience of the agent's projected service account token. */
export const UPLINK_AUDIENCE = "virtpod";
export const UPLINK_PORT = 8445;
export const SUBRESOURCES_PORT = 8443;
export const METRICS_PORT = 8080;
