/** What a domain is made of besides its LaunchSpec. */
import type { DiskBlockSize, DiskCache, DiskIo } from "../../api/launch-spec.ts";
import type { InterfaceAttachment } from "../../api/pod-interface.ts";
import type { CpuPinning } from "../cpu/pinning.ts";

/** A disk as qemu opens it, by the name of the LaunchSpec's disk. */
export interface ResolvedDisk {
  readonly name: string;
  readonly kind: "file" | "block";
  readonly path: string;
  /** Told to qemu, which then never guesses it from what a guest wrote. */
  readonly format: "qcow2" | "raw";
  readonly cache: DiskCache;
  readonly io: DiskIo;
  readonly blockSize?: DiskBlockSize;
}

export interface DomainPaths {
  /** Unix sockets that qemu makes. */
  readonly serialSocket: string;
  readonly vncSocket: string;
  /** The guest agent's channel; libvirtd connects to it. */
  readonly agentSocket: string;
  /** swtpm's control channel; qemu connects to it. */
  readonly tpmSocket: string;
  /** The guest's UEFI variables, made from a template at each start. */
  readonly nvram: string;
  /** `EMULATOR` unless told. */
  readonly emulator?: string;
}

export interface DomainResources {
  /** At least those of the spec. */
  readonly disks: readonly ResolvedDisk[];
  readonly interfaces: readonly InterfaceAttachment[];
  readonly paths: DomainPaths;
  /** Of a domain with dedicated CPUs. */
  readonly pinning?: CpuPinning;
}

export class DomainXmlError extends Error {
  override readonly name = "DomainXmlError";
  readonly code:
    | "BootUnsupported"
    | "DiskNotPrepared"
    | "DiskUnsupported"
    | "InterfaceNotAttached"
    | "TooManyDevices";

  constructor(code: DomainXmlError["code"], message: string) {
    super(message);
    this.code = code;
  }
}
