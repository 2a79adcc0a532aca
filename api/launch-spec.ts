/**
 * The LaunchSpec: one VMI as resolved by the operator, everything its launcher needs to start a domain.
 * It travels in the launcher pod's environment, so the launcher needs no API server to start. No secret is in it.
 */

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
}

export interface LaunchCpu {
  readonly sockets: number;
  readonly cores: number;
  readonly threads: number;
  /** `host-model`, `host-passthrough` or a libvirt CPU model name; ignored under TCG, which gives its maximum. */
  readonly model: string;
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
  readonly cache?: "none" | "writethrough" | "writeback";
  readonly source: LaunchDiskSource;
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
    };

export type InterfaceModel = "virtio" | "e1000" | "e1000e" | "rtl8139";

export interface LaunchInterface {
  /** Name of the interface and of the network; libvirt alias `ua-<name>`, `ua-<name>_interface` where a disk has it. */
  readonly name: string;
  readonly binding: "bridge";
  /** The pod's interface that is bridged, e.g. `eth0`. */
  readonly podInterface: string;
  readonly model: InterfaceModel;
  readonly bootOrder?: number;
  /** virtio queue pairs; above 1 the tap is multi-queue. */
  readonly queues: number;
}
