/**
 * What a guest agent tells of its guest, as launchers pass it on. Nothing in it can be believed: it is the guest's own
 * word. Names and units are those of KubeVirt's API.
 */

/** Part of a launcher's status: what a VMI's status shows. */
export interface GuestAgentStatus {
  /** Absent while the agent hasn't told it. */
  readonly os?: GuestOsInfo;
  /** Without the loopback; at most `MAX_GUEST_ONLY_INTERFACES` that aren't the VMI's own. */
  readonly interfaces: readonly GuestInterface[];
  /** The guest's file systems take no writes. */
  readonly frozen: boolean;
  /** Why the agent can't do all that is asked of it. */
  readonly unsupported?: string;
}

/** Bridges and tunnels of the guest's own that are told of: KubeVirt's limit. */
export const MAX_GUEST_ONLY_INTERFACES = 10;

/** What `guest-get-osinfo` tells; a guest that doesn't know a part leaves it out. */
export interface GuestOsInfo {
  readonly name?: string;
  readonly kernelRelease?: string;
  readonly version?: string;
  readonly prettyName?: string;
  readonly versionId?: string;
  readonly kernelVersion?: string;
  readonly machine?: string;
  readonly id?: string;
}

export interface GuestInterface {
  /** Name inside the guest, e.g. `enp1s0`. */
  readonly interfaceName: string;
  /** Lower case. */
  readonly macAddress?: string;
  /** Without prefix length, in the guest's order. */
  readonly ipAddresses: readonly string[];
}

/** Answer to `GET /v1/guest-agent`: all that is known, as old as its poll's interval at most. */
export interface GuestAgentInfo {
  readonly agentVersion?: string;
  readonly supportedCommands: readonly GuestAgentCommand[];
  readonly hostname?: string;
  readonly os?: GuestOsInfo;
  readonly timezone?: GuestTimezone;
  readonly users: readonly GuestUser[];
  readonly fileSystems: readonly GuestFileSystem[];
  readonly frozen: boolean;
}

export interface GuestAgentCommand {
  readonly name: string;
  readonly enabled: boolean;
}

export interface GuestTimezone {
  /** E.g. `CET`; not every guest knows it. */
  readonly zone?: string;
  /** Seconds east of UTC. */
  readonly offset: number;
}

/** A user who is logged in. */
export interface GuestUser {
  readonly userName: string;
  /** Windows only. */
  readonly domain?: string;
  /** Seconds since the epoch, with a fraction. */
  readonly loginTime: number;
}

/** A mounted file system. */
export interface GuestFileSystem {
  /** Of the block device, e.g. `vda1`. */
  readonly diskName: string;
  readonly mountPoint: string;
  readonly fileSystemType: string;
  readonly usedBytes: number;
  readonly totalBytes: number;
  readonly disks: readonly GuestFileSystemDisk[];
}

export interface GuestFileSystemDisk {
  readonly serial?: string;
  readonly busType: string;
}

/** Whether the guest has the keys and passwords of `spec.accessCredentials` that its agent is to set. */
export interface AccessCredentialsStatus {
  readonly synchronized: boolean;
  /** What is missing; empty when nothing is. */
  readonly message: string;
}
