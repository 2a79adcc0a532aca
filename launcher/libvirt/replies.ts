/** What libvirt's replies hold beside the structures that they share. */
import {
  MAX_DOMAINS,
  MAX_MEMORY_STATS,
  MAX_STATS_PARAMETERS,
  MEMORY_STATS,
  type MemoryStatName,
} from "./protocol.ts";
import { type DomainRef, readDomain, readTypedParameters, type TypedParameters } from "./structures.ts";
import type { XdrReader } from "./xdr.ts";

/** virDomainState and its reason, by number. */
export interface DomainState {
  readonly state: number;
  readonly reason: number;
}

export interface DomainInfo {
  /** virDomainState, by number. */
  readonly state: number;
  readonly maxMemoryKiB: bigint;
  readonly memoryKiB: bigint;
  readonly vcpus: number;
  readonly cpuTimeNs: bigint;
}

/** KiB, faults and times as libvirt gives them. */
export type MemoryStats = Readonly<Partial<Record<MemoryStatName, bigint>>>;

export function readInt(reader: XdrReader): number {
  return reader.int();
}

export function readString(reader: XdrReader): string {
  return reader.string();
}

/** Packed as major·10^6 + minor·10^3 + micro. */
export function readVersion(reader: XdrReader): string {
  const packed = reader.uhyper();
  return `${packed / 1_000_000n}.${(packed / 1_000n) % 1_000n}.${packed % 1_000n}`;
}

export function readDomains(reader: XdrReader): readonly DomainRef[] {
  const domains = reader.array(MAX_DOMAINS, readDomain);
  reader.uint(); // their count
  return domains;
}

export function readState(reader: XdrReader): DomainState {
  return { state: reader.int(), reason: reader.int() };
}

export function readInfo(reader: XdrReader): DomainInfo {
  // C's unsigned char and unsigned short take 4 bytes each.
  const state = reader.uint();
  const maxMemoryKiB = reader.uhyper();
  const memoryKiB = reader.uhyper();
  return { state, maxMemoryKiB, memoryKiB, vcpus: reader.uint(), cpuTimeNs: reader.uhyper() };
}

/** Of the one domain that was asked for; undefined where it has just ended. */
export function readStats(reader: XdrReader): TypedParameters | undefined {
  const records = reader.array(MAX_DOMAINS, (record) => {
    readDomain(record);
    return readTypedParameters(record, MAX_STATS_PARAMETERS);
  });
  return records[0];
}

export function readMemoryStats(reader: XdrReader): MemoryStats {
  const stats = reader.array(MAX_MEMORY_STATS, (stat) => [stat.int(), stat.uhyper()] as const);
  return Object.fromEntries(
    stats.flatMap(([tag, value]) => {
      const name = MEMORY_STATS[tag];
      return name === undefined ? [] : [[name, value]];
    }),
  );
}
