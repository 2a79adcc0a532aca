/** What libvirt measures of a running domain, as its launcher tells it: GET /v1/statistics. */

/**
 * What a domain may have: more, and libvirt wants an IOMMU with extended interrupt mode. libvirt numbers them from 0,
 * with holes where one is unplugged.
 */
export const MAX_VCPUS = 255;

export interface DomainStatistics {
  /** CPU seconds of qemu with all its threads; user and system are those of it in either mode. */
  readonly cpu: { readonly seconds: number; readonly userSeconds: number; readonly systemSeconds: number };
  readonly vcpus: readonly VcpuStatistics[];
  readonly memory: MemoryStatistics;
}

export interface VcpuStatistics {
  readonly id: number;
  readonly state: VcpuState;
  /** Running. */
  readonly seconds: number;
  /** Waiting for I/O; ready, and waiting for a CPU. Absent where the kernel doesn't count it. */
  readonly waitSeconds?: number;
  readonly delaySeconds?: number;
}

/** virVcpuState. */
export const VCPU_STATES = ["offline", "running", "blocked"] as const;
export type VcpuState = (typeof VCPU_STATES)[number];

/** In bytes; what only the guest knows is absent until its balloon driver has told. */
export interface MemoryStatistics {
  /** What the domain may have. */
  readonly domain?: number;
  /** What the balloon leaves it. */
  readonly actualBalloon?: number;
  /** Of qemu in the node's memory. */
  readonly resident?: number;
  /** As the guest sees it: all; free; free, or could be freed at once; its page cache. */
  readonly available?: number;
  readonly unused?: number;
  readonly usable?: number;
  readonly cached?: number;
  /** Swapped in and out by the guest since it started. */
  readonly swapIn?: number;
  readonly swapOut?: number;
  /** Page faults in the guest, with and without reading a disk. */
  readonly majorFaults?: number;
  readonly minorFaults?: number;
}
