/** What a domain is made of besides its LaunchSpec. */
import type { InterfaceAttachment } from "../../api/pod-interface.ts";

/** A disk as it lies on the node, by the name of the LaunchSpec's disk. */
export interface ResolvedDisk {
  readonly name: string;
  readonly path: string;
  readonly format: "qcow2" | "raw";
}

export interface DomainPaths {
  /** Unix sockets that qemu makes. */
  readonly serialSocket: string;
  readonly vncSocket: string;
  /** The guest agent's channel; libvirtd connects to it. */
  readonly agentSocket: string;
  /** `EMULATOR` unless told. */
  readonly emulator?: string;
}

export interface DomainResources {
  /** At least those of the spec. */
  readonly disks: readonly ResolvedDisk[];
  readonly interfaces: readonly InterfaceAttachment[];
  readonly paths: DomainPaths;
}

export class DomainXmlError extends Error {
  override readonly name = "DomainXmlError";
  readonly code: "DiskNotPrepared" | "DiskUnsupported" | "InterfaceNotAttached" | "TooManyDevices";

  constructor(code: DomainXmlError["code"], message: string) {
    super(message);
    this.code = code;
  }
}
