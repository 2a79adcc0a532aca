/**
 * Memory of a launcher pod: its guest's, as KubeVirt maps it, and what it needs beside, of which every part is measured
 * by `make bench BENCH=footprint`; pure.
 */
import type { Domain } from "../../api/domain.ts";
import type { HugepageBytes, LaunchDomain } from "../../api/launch-spec.ts";
import { parseQuantity } from "../../lib/quantity.ts";

type Hugepages = NonNullable<NonNullable<Domain["memory"]>["hugepages"]>;

const MIB = 1024 * 1024;

/** By `memory.hugepages.pageSize`, which is also the end of the resource's name: `hugepages-2Mi`. */
export const HUGEPAGE_BYTES: Readonly<Record<Hugepages["pageSize"], HugepageBytes>> = {
  "2Mi": 2_097_152,
  "1Gi": 1_073_741_824,
};

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
/** swtpm with its libraries. */
export const TPM_BYTES = 8 * MIB;
export const PER_IO_THREAD_BYTES = MIB;
/** Page tables and dirty bitmaps grow with the guest: one part in 512. */
const GUEST_DIVISOR = 512;

/** TCG's translation cache, on top, only where emulation is allowed. */
export const TCG_CACHE_BYTES = 64 * MIB;

/** Bytes beside the guest's own memory, TCG's translation cache included when it has one. */
export function overheadBytes(
  domain: Pick<
    LaunchDomain,
    "cpu" | "graphics" | "efi" | "tpm" | "ioThreads" | "memoryBytes" | "tcgCacheBytes"
  >,
): number {
  const { sockets, cores, threads } = domain.cpu;
  const bytes =
    LAUNCHER_BYTES +
    LIBVIRTD_BYTES +
    QEMU_BYTES +
    PER_VCPU_BYTES * sockets * cores * threads +
    (domain.graphics ? GRAPHICS_BYTES : 0) +
    (domain.efi === undefined ? 0 : EFI_BYTES) +
    (domain.tpm === undefined ? 0 : TPM_BYTES) +
    PER_IO_THREAD_BYTES * (domain.ioThreads ?? 0) +
    domain.memoryBytes / GUEST_DIVISOR +
    (domain.tcgCacheBytes ?? 0);
  return Math.ceil(bytes / MIB) * MIB;
}

export interface MemoryAmounts {
  /** In bytes. */
  readonly request: number;
  readonly limit?: number;
  /** Of the resource `hugepages-<size>`, request and limit alike. */
  readonly hugepages?: { readonly pageSize: Hugepages["pageSize"]; readonly bytes: number };
}

/**
 * What the guest is given and asked for, without what is beside it. A limit without a request requests as much; without
 * both, so many per cent of the guest's memory are requested. Huge pages are the guest's whole memory, never
 * overcommitted: of ordinary memory it then needs only what was asked for beyond it.
 */
export function guestAmounts(
  { memory: { hugepages } = {}, resources: { limits, requests } = {} }: Domain,
  memoryBytes: number,
  memoryOvercommit: number,
): MemoryAmounts {
  const limit = limits?.memory === undefined ? undefined : parseQuantity(limits.memory);
  const named = requests?.memory === undefined ? limit : parseQuantity(requests.memory);
  if (hugepages === undefined) {
    const request = named ?? Math.ceil((memoryBytes * 100) / memoryOvercommit);
    return { request, ...(limit === undefined ? {} : { limit }) };
  }
  return {
    request: Math.max(0, (named ?? 0) - memoryBytes),
    ...(limit === undefined ? {} : { limit: Math.max(0, limit - memoryBytes) }),
    hugepages: { ...hugepages, bytes: memoryBytes },
  };
}
