/** What is in the Debian guest and where on its disk. Data only. */

/** The whole disk in bytes, as the guest sees it before anybody gives it more. */
export const diskSize = 2 * 2 ** 30;

/** Packages besides Debian's essential ones and apt; dependencies follow, recommendations do not. */
export const packages = [
  ...["systemd-sysv", "systemd-repart", "systemd-resolved", "udev", "dbus", "kmod"],
  // Not the cloud kernel: it has no USB and no graphics.
  ...["linux-image-amd64", "initramfs-tools", "zstd"],
  ...["cloud-init", "openssh-server", "qemu-guest-agent", "sudo"],
  ...["e2fsprogs", "iproute2", "iputils-ping", "procps", "less"],
  // Random reads and sequential writes, in 20 kB where fio brings a hundred packages.
  "ioping",
] as const;

/** Packages that only the disk's boot loaders are taken from. */
export const loaderPackages = ["grub-common", "grub-pc-bin", "grub-efi-amd64-signed", "shim-signed"] as const;

/** One partition of a GUID Partition Table (UEFI specification 2.10, section 5.3). */
export type Partition = {
  readonly name: string;
  /** Bytes from the beginning of the disk. */
  readonly start: number;
  /** Bytes. */
  readonly size: number;
  /** Partition type: GRUB's BIOS boot, UEFI's system partition, the Discoverable Partitions Specification's root. */
  readonly type: string;
  readonly uuid: string;
};

const mebibyte = 2 ** 20;
/** GPT's own tables, at both ends of the disk. */
const margin = mebibyte;

function identifier(last: number): string {
  return `76697274-706f-4d03-8000-${String(last).padStart(12, "0")}`;
}

export const diskIdentifier = identifier(0);

/** Where GRUB's core image lies for a BIOS. */
export const biosBoot: Partition = {
  name: "bios",
  start: margin,
  size: mebibyte,
  type: "21686148-6449-6E6F-744E-656564454649",
  uuid: identifier(1),
};

/** Where EFI finds shim and GRUB. */
export const efiSystem: Partition = {
  name: "efi",
  start: biosBoot.start + biosBoot.size,
  size: 16 * mebibyte,
  type: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
  uuid: identifier(2),
};

/** The last one, so that it can grow. */
export const rootPartition: Partition = {
  name: "root",
  start: efiSystem.start + efiSystem.size,
  size: diskSize - margin - efiSystem.start - efiSystem.size,
  type: "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
  uuid: identifier(3),
};

export const partitions = [biosBoot, efiSystem, rootPartition] as const;

/** Identifier of the root file system itself, by which GRUB finds it from the EFI system partition. */
export const rootFilesystem = identifier(4);

/** The kernel's command line. */
export const kernelArguments = [
  `root=PARTUUID=${rootPartition.uuid}`,
  "rootfstype=ext4",
  // For writing at once, and unchecked: the journal sees to what a crash left.
  "rw",
  "fastboot",
  "console=ttyS0",
  "quiet",
  // No self-tests of ciphers, no wait for entropy, one serial port: under emulation they take half a second.
  "cryptomgr.notests",
  "random.trust_cpu=on",
  "8250.nr_uarts=1",
] as const;
