/** Reads /proc/<pid>/smaps (proc(5)) and tells a qemu's mappings apart by what they hold; pure. */

/** One mapping; sizes in KiB, as the kernel tells them. */
export interface Mapping {
  /** As in maps: `rw-p`. */
  readonly permissions: string;
  readonly inode: number;
  /** File, `[heap]`, `/memfd:…`; "" where the mapping has no name. */
  readonly path: string;
  readonly sizeKiB: number;
  /** Memory that is this process's alone and cannot be dropped. */
  readonly privateDirtyKiB: number;
}

export class SmapsError extends Error {
  readonly code = "SMAPS";
}

const HEADER = /^[0-9a-f]+-[0-9a-f]+ ([rwxsp-]{4}) [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ (\d+) *(.*)$/;
const FIELD = /^(Size|Private_Dirty|Anonymous): +(\d+) kB$/;

/** @throws SmapsError when a line belongs to no mapping */
export function parseSmaps(text: string): Mapping[] {
  const mappings: { mapping: Mapping; anonymousKiB: number }[] = [];
  for (const line of text.split("\n")) {
    const header = HEADER.exec(line);
    if (header !== null) {
      const [, permissions = "", inode, path = ""] = header;
      const mapping = { permissions, inode: Number(inode), path, sizeKiB: 0, privateDirtyKiB: 0 };
      mappings.push({ mapping, anonymousKiB: 0 });
      continue;
    }
    const [, field, digits] = FIELD.exec(line) ?? [];
    if (field === undefined) continue;
    const last = mappings.at(-1);
    if (last === undefined) throw new SmapsError(`smaps has "${line}" before its first mapping`);
    const kiB = Number(digits);
    if (field === "Size") last.mapping = { ...last.mapping, sizeKiB: kiB };
    else if (field === "Private_Dirty") last.mapping = { ...last.mapping, privateDirtyKiB: kiB };
    else last.anonymousKiB = kiB;
  }
  return mappings.map(({ mapping, anonymousKiB }) => withoutPageCache(mapping, anonymousKiB));
}

/**
 * Pages of a file that was written a moment ago, such as a program in a freshly unpacked image, count as dirty in
 * whoever maps them until the kernel has written them back. In a private mapping only copies, which are anonymous,
 * are the process's own.
 */
function withoutPageCache(mapping: Mapping, anonymousKiB: number): Mapping {
  const isPrivateFile = mapping.inode !== 0 && mapping.permissions[3] === "p";
  if (!isPrivateFile) return mapping;
  return { ...mapping, privateDirtyKiB: Math.min(mapping.privateDirtyKiB, anonymousKiB) };
}

/** Private dirty memory of a process in KiB. */
export function privateDirtyKiB(mappings: readonly Mapping[]): number {
  return mappings.reduce((sum, mapping) => sum + mapping.privateDirtyKiB, 0);
}

export interface QemuMemory {
  /** Private dirty KiB of the guest's RAM. */
  readonly guestRamKiB: number;
  /** Private dirty KiB of TCG's translation cache; 0 under KVM. */
  readonly tcgCacheKiB: number;
  /** Private dirty KiB of everything else. */
  readonly restKiB: number;
}

/**
 * Splits the private dirty memory of a qemu with `guestMiB` of RAM.
 *
 * Guest RAM is one mapping of exactly the guest's size: anonymous (qemu's memory-backend-ram), or a memfd or a file
 * of /dev/shm where the memory is shared. qemu sets MADV_DONTFORK on it, so the kernel doesn't merge it with a
 * neighbour. TCG's translation cache is the only anonymous memory that may be executed, or is a memfd `qemu-jit`
 * where writing and executing are kept apart.
 *
 * @throws SmapsError unless there is exactly one candidate for the guest's RAM: a wrong split is worse than none
 */
export function splitQemu(mappings: readonly Mapping[], guestMiB: number): QemuMemory {
  const guestRam = mappings.filter((mapping) => isGuestRam(mapping, guestMiB));
  if (guestRam.length !== 1) {
    throw new SmapsError(
      `${guestRam.length} mappings of this qemu could be the guest's RAM of ${guestMiB} MiB; there must be one`,
    );
  }
  const tcgCache = mappings.filter(isTcgCache);
  const guestRamKiB = privateDirtyKiB(guestRam);
  const tcgCacheKiB = privateDirtyKiB(tcgCache);
  return { guestRamKiB, tcgCacheKiB, restKiB: privateDirtyKiB(mappings) - guestRamKiB - tcgCacheKiB };
}

function isGuestRam({ permissions, inode, path, sizeKiB }: Mapping, guestMiB: number): boolean {
  const isAnonymous = path === "" && inode === 0;
  const isShared = path.startsWith("/memfd:") || path.startsWith("/dev/shm/");
  return sizeKiB === guestMiB * 1024 && permissions.startsWith("rw-") && (isAnonymous || isShared);
}

function isTcgCache({ permissions, inode, path }: Mapping): boolean {
  return (path === "" && inode === 0 && permissions[2] === "x") || path.startsWith("/memfd:qemu-jit");
}
