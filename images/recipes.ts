/** What is in the images' Debian layers, and how their containers start. Data only. */
import type { Program } from "./bundle.ts";
import type { Runtime } from "./oci.ts";
import type { Pick } from "./rootfs.ts";

/** Uid and gid of a launcher and its guest: what Debian and KubeVirt call qemu. */
export const qemuId = 107;
/** Uid and gid of the operator; the agent's pod asks for uid 0. */
export const operatorId = 65532;

/** Folder of the bundles within both images. */
export const bundleFolder = "usr/share/virtpod";

/**
 * Under both images: C and C++ runtime for Node; and busybox with a shell to look around, which gives an intruder
 * nothing that Node does not. The shell is dash: busybox's own would run its own `ip` before iproute2's.
 */
export const base: Pick = {
  packages: ["base-files", "libc6", "libstdc++6", "libgcc-s1", "busybox-static", "dash", "netbase"],
  files: [
    "usr/lib/os-release",
    "etc/os-release",
    "etc/debian_version",
    "bin",
    "lib",
    "lib64",
    "sbin",
    "usr/share/common-licenses/*",
    "etc/services",
    "etc/protocols",
    "usr/bin/busybox",
    "usr/bin/dash",
    // What Node loads; named here because Node itself is no Debian package.
    "usr/lib/x86_64-linux-gnu/libstdc++.so.6",
    "usr/lib/x86_64-linux-gnu/libgcc_s.so.1",
    "usr/lib/x86_64-linux-gnu/lib{c,m,dl,pthread,rt,util,resolv}.so.*",
    "usr/lib/x86_64-linux-gnu/libnss_{dns,files}.so.2",
  ],
};

/** Commands that busybox answers to in both images. */
export const applets = (
  "[ awk base64 basename cat chmod chown cp cut date dd df dirname du echo env expr false find free grep head " +
  "hexdump hostname id kill ln ls mkdir mount mv nc od ping printf ps pwd readlink realpath rm rmdir sed " +
  "seq sleep sort stat sync sysctl tail tar tee test time timeout top touch tr true tty umount uname uniq " +
  "uptime vi wc wget which xargs"
).split(" ");

/** The agent wires pod networks with iproute2 and nftables; nsenter(1) is for people who look into one. */
export const virtpod: Pick = {
  packages: ["iproute2", "nftables", "util-linux"],
  files: [
    "usr/bin/nsenter",
    "usr/sbin/ip",
    "usr/sbin/bridge",
    "usr/sbin/tc",
    "usr/sbin/nft",
    "usr/share/iproute2/*",
  ],
};

/**
 * One emulator, because libvirt probes each one that it finds. Firmware for PC guests only: SeaBIOS and OVMF (code,
 * and variables with and without the keys of secure boot), the VGA BIOSes, the loaders of direct kernel boot, and a boot ROM per network card model that the API offers.
 */
export const launcher: Pick = {
  packages: [
    "libvirt-daemon",
    "libvirt-daemon-driver-qemu",
    "qemu-system-x86",
    "ovmf",
    "swtpm",
    "swtpm-tools",
    "tini",
    "util-linux",
  ],
  files: [
    "usr/bin/taskset",
    "usr/sbin/libvirtd",
    "usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so",
    "usr/lib/libvirt/libvirt_iohelper",
    "usr/share/libvirt/cpu_map/*",
    "usr/bin/qemu-system-x86_64",
    "usr/lib/x86_64-linux-gnu/qemu/hw-display-virtio-{gpu,gpu-pci,vga}.so",
    "usr/share/qemu/{kvmvapic,linuxboot,linuxboot_dma,multiboot,multiboot_dma,pvh}.bin",
    "usr/share/qemu/efi-{e1000,e1000e,ne2k_pci,pcnet,rtl8139,virtio,vmxnet3}.rom",
    "usr/share/qemu/keymaps/*",
    "usr/share/seabios/bios{,-256k}.bin",
    "usr/share/OVMF/OVMF_{CODE,VARS}_4M.fd",
    "usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
    "usr/share/OVMF/OVMF_VARS_4M.ms.fd",
    "usr/share/seabios/vgabios{,-bochs-display,-cirrus,-qxl,-ramfb,-stdvga,-virtio,-vmware}.bin",
    // libvirt lets a domain have a TPM only where it finds all three, whoever starts the first.
    "usr/bin/swtpm{,_ioctl,_setup}",
    "usr/bin/tini",
  ],
};

/** Files of the base layer that no package has. */
export const baseFiles: Readonly<Record<string, string>> = {
  "etc/passwd": [
    "root:x:0:0:root:/root:/bin/sh",
    `qemu:x:${qemuId}:${qemuId}:launcher and guest:/:/bin/sh`,
    `virtpod:x:${operatorId}:${operatorId}:operator:/:/bin/sh`,
    "nobody:x:65534:65534:nobody:/:/bin/sh",
    "",
  ].join("\n"),
  "etc/group": ["root:x:0:", `qemu:x:${qemuId}:`, `virtpod:x:${operatorId}:`, "nogroup:x:65534:", ""].join(
    "\n",
  ),
  "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
};

/** Empty folders of the base layer, with their modes. */
export const baseFolders: Readonly<Record<string, number>> = {
  dev: 0o755,
  proc: 0o755,
  sys: 0o755,
  run: 0o755,
  tmp: 0o1777,
  root: 0o700,
  "var/tmp": 0o1777,
};

/**
 * V8's limits for the launcher, which keeps little and lives as long as its guest: a small young generation is
 * collected often, and a heap beyond the limit is a leak that should end the process rather than grow. One that is idle
 * collects nothing by itself, so it is told to when a stream has ended (transport/heap.ts).
 */
export const launcherNodeFlags = [
  "--max-semi-space-size=1",
  "--max-old-space-size=64",
  "--expose-gc",
] as const;

const environment = {
  PATH: "/usr/sbin:/usr/bin",
  NODE_ENV: "production",
  LANG: "C.UTF-8",
  // What is larger goes back to the node when it is freed. Left to itself glibc raises this to 32 MiB by and by, and
  // each program keeps 4 to 8 MiB more of what it needed while it started.
  MALLOC_MMAP_THRESHOLD_: String(128 * 1024),
};

/** How a container of each image starts; pods choose the agent by their own `command`. */
export const runtimes = {
  virtpod: {
    entrypoint: ["/usr/bin/node", `/${bundleFolder}/operator.mjs`],
    user: `${operatorId}:${operatorId}`,
    environment,
    workingDirectory: "/",
  },
  "virtpod-launcher": {
    // Without -g: SIGTERM is for the launcher alone, which then asks the guest to power off.
    entrypoint: [
      "/usr/bin/tini",
      "--",
      "/usr/bin/node",
      ...launcherNodeFlags,
      `/${bundleFolder}/launcher.mjs`,
    ],
    user: `${qemuId}:${qemuId}`,
    environment,
    workingDirectory: "/",
  },
  "virtpod-guest-tiny": {},
  "virtpod-guest-debian": {},
} as const satisfies Record<string, Runtime>;

export type ImageName = keyof typeof runtimes;

/** Images that are made only when they are named, because virtpod itself needs none; pushed where they were made. */
export const onDemand: readonly ImageName[] = ["virtpod-guest-debian"];

/** Bundles in each image. */
export const bundles: Readonly<Record<ImageName, readonly Program[]>> = {
  virtpod: ["operator", "agent"],
  "virtpod-launcher": ["launcher"],
  "virtpod-guest-tiny": [],
  "virtpod-guest-debian": [],
};
