/**
 * The LaunchSpec: one VMI as resolved by the operator, everything its launcher needs to start a domain.
 * It travels in the launcher pod's environment, so the launcher needs no API server to start. No secret is in it.
 */

import type { DhcpOptions } from "./dhcp-options.ts";

export type Accelerator = "kvm" | "tcg";

export interface LaunchSpec {
  readonly version: 1;
  readonly namespace: string;
  /** Name and UID of the VMI. */
  readonly name: string;
  readonly uid: string;
  readonly domain: LaunchDomain;
  readonly disks: readonly LaunchDisk[];
  readonly interfaces: readonly LaunchInterface[];
  /** Host name given to the guest by DHCP. */
  readonly hostname: string;
  /** `spec.subdomain`: the guest's domain is `<subdomain>.<namespace>.svc.<cluster domain>`. */
  readonly subdomain?: string;
  /** `terminationGracePeriodSeconds`: how long the guest has to power off after the ACPI request, in seconds. */
  readonly gracePeriodSeconds: number;
  /** `startStrategy: Paused`. */
  readonly startPaused: boolean;
  readonly accessCredentials?: readonly LaunchAccessCredential[];
}

export interface LaunchDomain {
  /** SMBIOS and libvirt UUID, stable over restarts of a VM. */
  readonly uuid: string;
  /** `firmware.serial`. */
  readonly serial?: string;
  /** libvirt machine type, e.g. `q35`. */
  readonly machineType: string;
  readonly accelerator: Accelerator;
  readonly cpu: LaunchCpu;
  readonly memoryBytes: number;
  /** `memory.hugepages.pageSize`: of such pages is the guest's memory, a multiple of it. Default: ordinary pages. */
  readonly hugepageBytes?: HugepageBytes;
  /** Limit of TCG's translation cache in bytes; counted in the pod's memory. Only with accelerator `tcg`. */
  readonly tcgCacheBytes?: number;
  readonly kernelBoot?: LaunchKernelBoot;
  /** VGA and VNC (`autoattachGraphicsDevice`). */
  readonly graphics: boolean;
  /** Serial console on ttyS0 (`autoattachSerialConsole`). */
  readonly serialConsole: boolean;
  /** `autoattachMemBalloon`. */
  readonly memBalloon: boolean;
  /** virtio-rng (`devices.rng`). */
  readonly rng: boolean;
  /** `firmware.bootloader.efi`; without it the guest boots by SeaBIOS. */
  readonly efi?: LaunchEfi;
  /** `firmware.bootloader.bios.useSerial`: SeaBIOS talks on the serial console. */
  readonly biosSerial?: true;
  /** Graphics adapter. Default: vga. Only with `graphics`. */
  readonly video?: VideoModel;
  /** A sound card that nobody hears: guests want one to be there. */
  readonly sound?: SoundModel;
  /** An i6300esb; what it does to a guest that stops feeding it. */
  readonly watchdog?: { readonly action: WatchdogAction };
  /** A TPM 2.0 whose state lasts as long as the pod (`devices.tpm`). */
  readonly tpm?: true;
  /** Tablets: pointers with absolute coordinates. */
  readonly inputs?: readonly LaunchInput[];
  /** `domain.ioThreadsPolicy` resolved: how many I/O threads the domain has; 0 or absent: qemu's main loop does it. */
  readonly ioThreads?: number;
}

/** 2 MiB or 1 GiB. */
export type HugepageBytes = 2_097_152 | 1_073_741_824;
export type VideoModel = "vga" | "bochs" | "virtio" | "cirrus" | "ramfb";
export type SoundModel = "ich9" | "ac97";
export type WatchdogAction = "reset" | "poweroff" | "shutdown";

export interface LaunchInput {
  /** libvirt alias `ua-<name>_input`. */
  readonly name: string;
  readonly bus: "usb" | "virtio";
}

export interface LaunchEfi {
  /** Signed boot loaders only; needs SMM. Default of KubeVirt's field: true. */
  readonly secureBoot: boolean;
}

export interface LaunchCpu {
  readonly sockets: number;
  readonly cores: number;
  readonly threads: number;
  /** `host-model`, `host-passthrough` or a libvirt CPU model name; ignored under TCG, which gives its maximum. */
  readonly model: string;
  /** `cpu.dedicatedCpuPlacement`: each vCPU is pinned to one of the launcher's CPUs, which no one else has. */
  readonly dedicated?: LaunchDedicatedCpu;
}

export interface LaunchDedicatedCpu {
  /** One CPU more, for qemu's other threads, libvirtd and the launcher. Otherwise these share the vCPUs' CPUs. */
  readonly isolateEmulatorThread: boolean;
}

export interface LaunchKernelBoot {
  /** Absolute paths inside the launcher pod. */
  readonly kernelPath?: string;
  readonly initrdPath?: string;
  readonly kernelArgs?: string;
}

export type DiskBus = "virtio" | "sata" | "scsi" | "usb";

export interface LaunchDisk {
  /** Name of the volume and of the disk; libvirt alias `ua-<name>`. */
  readonly name: string;
  readonly device: "disk" | "cdrom" | "lun";
  readonly bus: DiskBus;
  readonly readonly: boolean;
  readonly bootOrder?: number;
  readonly serial?: string;
  /** Without it `none` where the file system can do O_DIRECT, else `writethrough` (the launcher asks it). */
  readonly cache?: DiskCache;
  /** qemu's `aio`; without it `native` on a block device or a raw file without holes, with cache none; else `threads`. */
  readonly io?: DiskIo;
  /** What happens when the backing store fails. Default: stop, which pauses the guest; enospace: only for want of room. */
  readonly errorPolicy?: DiskErrorPolicy;
  /** Several VMs may write at once: no lock, no cache. Only of a raw source: `file` or `block`. */
  readonly shareable?: boolean;
  /** Bytes; `matchVolume` is resolved by the launcher, which sees the device. */
  readonly blockSize?: DiskBlockSize | "matchVolume";
  /** Number of the I/O thread that serves it, from 1 to `domain.ioThreads`; virtio only. */
  readonly ioThread?: number;
  /** virtio-blk queues (`blockMultiQueue`). Default: 1. */
  readonly queues?: number;
  readonly source: LaunchDiskSource;
}

export type DiskCache = "none" | "writethrough" | "writeback";
export type DiskIo = "native" | "threads";
export type DiskErrorPolicy = "stop" | "ignore" | "report" | "enospace";

/** Powers of two, in bytes: the guest's smallest request, and what the device writes at once. */
export interface DiskBlockSize {
  readonly logical: number;
  readonly physical: number;
}

export type LaunchDiskSource =
  | {
      readonly kind: "containerDisk";
      /** Where the image volume is mounted, read-only. */
      readonly imageDirectory: string;
      /** Path of the disk inside the image; without it the only file in `disk/` is taken (KubeVirt's rule). */
      readonly path?: string;
      /** Where the qcow2 overlay over it is made. */
      readonly overlayPath: string;
    }
  | {
      readonly kind: "emptyDisk";
      /** qcow2 file to make, on an emptyDir (disk or tmpfs). */
      readonly path: string;
      readonly capacityBytes: number;
    }
  /**
   * A raw file on a PersistentVolumeClaim of volumeMode Filesystem, or a hostDisk, made sparse where it is missing.
   * Always raw, whatever its first bytes are: the guest writes them.
   */
  | {
      readonly kind: "file";
      /** `<mount>/disk.img` */
      readonly path: string;
      /**
       * The claim's capacity: size of the file that is made where none is, up to a tenth less where the file system
       * itself takes its part of the claim (KubeVirt's tolerance). Absent: the file must be there.
       */
      readonly capacityBytes?: number;
    }
  /** A PersistentVolumeClaim of volumeMode Block. */
  | { readonly kind: "block"; readonly path: string }
  /** A claim that is only read, below a qcow2 overlay that is lost with the pod. */
  | {
      readonly kind: "ephemeral";
      readonly backing: { readonly kind: "file" | "block"; readonly path: string };
      readonly overlayPath: string;
    }
  /** ISO 9660 with the label `cidata` or `config-2`, made by the launcher on tmpfs: it may hold secrets. */
  | {
      readonly kind: "cloudInit";
      readonly format: "noCloud" | "configDrive";
      readonly path: string;
      /** Inline (decoded) or a file of a mounted Secret: keys `userdata` (or `userData`), `networkdata` (or `networkData`). */
      readonly userData?: CloudInitData;
      readonly networkData?: CloudInitData;
      /** `instance-id` and `uuid`: the VM's stable UUID, so that cloud-init runs once per instance. */
      readonly instanceId: string;
      readonly hostname: string;
    }
  /** ISO 9660 of a mounted ConfigMap, Secret, ServiceAccount, downwardAPI or sysprep volume. */
  | {
      readonly kind: "files";
      readonly directory: string;
      readonly path: string;
      /** `volumeLabel`; default `cfgdata`. */
      readonly volumeLabel: string;
      /** Renders the only file of the directory as `autounattend.xml` and `unattend.xml` where only one of them is there. */
      readonly sysprep?: true;
    };

export type CloudInitData =
  | { readonly text: string }
  /** What isn't UTF-8, such as gzip. */
  | { readonly base64: string }
  /** Where the Secret is mounted; the first key of `keys` that is there is taken. */
  | { readonly directory: string; readonly keys: readonly string[] };

/** `spec.accessCredentials[]`: mounted Secrets whose keys and passwords the guest is given. */
export type LaunchAccessCredential =
  | {
      readonly kind: "sshPublicKey";
      /** Mounted Secret; every file in it is a list of public keys. */
      readonly directory: string;
      readonly propagation: "noCloud" | "configDrive" | "qemuGuestAgent";
      /** Users whose authorized_keys are written; only with qemuGuestAgent. */
      readonly users: readonly string[];
    }
  /** Every file in it is named like a user and holds that user's password. */
  | {
      readonly kind: "userPassword";
      readonly directory: string;
      readonly propagation: "qemuGuestAgent";
    };

export type InterfaceModel = "virtio" | "e1000" | "e1000e" | "rtl8139";

export interface LaunchInterface {
  /** Name of the interface and of the network; libvirt alias `ua-<name>`, `ua-<name>_interface` where a disk has it. */
  readonly name: string;
  readonly binding: "bridge" | "masquerade";
  /** The pod's interface that leads to the network, e.g. `eth0`. */
  readonly podInterface: string;
  readonly model: InterfaceModel;
  readonly bootOrder?: number;
  /** Lower case, `0000:01:00.0`. Bus 00 is the root complex, each other one a root port. */
  readonly pciAddress?: string;
  readonly acpiIndex?: number;
  /** Default: up. */
  readonly linkState?: "down";
  /** What DHCP tells the guest beyond its network. */
  readonly dhcpOptions?: DhcpOptions;
  /** TCP ports that the launcher answers on the pod's 127.0.0.1 and passes to the guest: those listed, on the bridge. */
  readonly loopbackPorts?: readonly number[];
  /** virtio queue pairs; above 1 the tap is multi-queue. */
  readonly queues: number;
}
