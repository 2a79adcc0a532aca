/** Memory that a launcher pod needs beside its guest's; every part is measured by `make bench BENCH=footprint`. */
import type { LaunchDomain } from "../../api/launch-spec.ts";

const MIB = 1024 * 1024;

/** Launcher (Node), libvirtd, qemu's own heap and page tables of a small guest, in bytes. */
export const LAUNCHER_BYTES = 28 * MIB;
export const LIBVIRTD_BYTES = 18 * MIB;
export const QEMU_BYTES = 36 * MIB;
/** Thread stacks and per-vCPU state. */
export const PER_VCPU_BYTES = 3 * MIB;
/** VGA memory and VNC's buffers. */
export const GRAPHICS_BYTES = 18 * MIB;
/** OVMF's code and variables. */
export const EFI_BYTES = 8 * MIB;
export const PER_IO_THREAD_BYTES = MIB;
/** Page tables and dirty bitmaps grow with the guest: one part in 512. */
const GUEST_DIVISOR = 512;

/** TCG's translation cache, on top, only where emulation is allowed. */
export const TCG_CACHE_BYTES = 64 * MIB;

/** Bytes beside the guest's own memory, TCG's translation cache included when it has one. */
export function overheadBytes(
  domain: Pick<LaunchDomain, "cpu" | "graphics" | "efi" | "ioThreads" | "memoryBytes" | "tcgCacheBytes">,
): number {
  const { sockets, cores, threads } = domain.cpu;
  const bytes =
    LAUNCHER_BYTES +
    LIBVIRTD_BYTES +
    QEMU_BYTES +
    PER_VCPU_BYTES * sockets * cores * threads +
    (domain.graphics ? GRAPHICS_BYTES : 0) +
    (domain.efi === undefined ? 0 : EFI_BYTES) +
    PER_IO_THREAD_BYTES * (domain.ioThreads ?? 0) +
    domain.memoryBytes / GUEST_DIVISOR +
    (domain.tcgCacheBytes ?? 0);
  return Math.ceil(bytes / MIB) * MIB;
}
