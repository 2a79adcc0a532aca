/** Volumes of the launcher pod, mounted where the LaunchSpec says that they are; pure. */
import { dirname } from "node:path/posix";
import type { LaunchDisk, LaunchSpec } from "../../api/launch-spec.ts";
import { LAUNCHER_PATHS } from "../../api/names.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Volume as VmiVolume } from "../../api/volumes.ts";
import type { Container, Volume } from "../../kube/resources.ts";
import { qcow2MaxBytes } from "../../lib/qcow2.ts";

type Mount = NonNullable<Container["volumeMounts"]>[number];
type Device = NonNullable<Container["volumeDevices"]>[number];
type Source = Omit<Volume, "name">;

export interface PodStorage {
  readonly volumes: Volume[];
  readonly mounts: Mount[];
  /** Claims of volumeMode Block. */
  readonly devices: Device[];
}

const MIB = 1024 * 1024;
/** Sockets, logs and the capability cache; a bound, not a reservation. */
const RUNTIME_BYTES = 32 * MIB;
/** Of an ISO image without its files. */
const IMAGE_BYTES = MIB;
/** The most that a ConfigMap or Secret may hold. */
const OBJECT_BYTES = MIB;
/** The API server gives tokens of this lifetime a year, since they are rotated where nothing but files shows it. */
const TOKEN_SECONDS = 3607;

export function podStorage({ spec }: VirtualMachineInstance, launch: LaunchSpec): PodStorage {
  const storage: PodStorage = { volumes: [], mounts: [], devices: [] };
  const sizeLimit = mebibytes(RUNTIME_BYTES + imageBytes(launch));
  mount(storage, "runtime", { emptyDir: { medium: "Memory", sizeLimit } }, LAUNCHER_PATHS.runtime);
  if (launch.disks.some(({ source }) => "overlayPath" in source))
    mount(storage, "scratch", { emptyDir: {} }, LAUNCHER_PATHS.scratch);
  const kernel = spec.domain.firmware?.kernelBoot?.container;
  if (kernel !== undefined) {
    const image = imageSource(kernel.image, kernel.imagePullPolicy);
    mount(storage, "kernel-boot", { image }, LAUNCHER_PATHS.kernelBoot, true);
  }
  const disks = new Map(launch.disks.map((disk) => [disk.name, disk]));
  // Numbered, because a user's volume name may be as long as a name can be.
  for (const [index, volume] of (spec.volumes ?? []).entries()) {
    const disk = disks.get(volume.name);
    if (disk !== undefined) addVolume(storage, `volume-${index}`, volume, disk);
  }
  for (const [index, { directory }] of (launch.accessCredentials ?? []).entries()) {
    const { sshPublicKey, userPassword } = spec.accessCredentials?.[index] ?? {};
    const { secretName } = (sshPublicKey ?? userPassword)?.source.secret ?? {};
    if (secretName !== undefined)
      mount(storage, `credential-${index}`, { secret: { secretName } }, directory, true);
  }
  return storage;
}

function addVolume(storage: PodStorage, name: string, volume: VmiVolume, disk: LaunchDisk): void {
  const { source } = disk;
  switch (source.kind) {
    case "containerDisk": {
      const { image = "", imagePullPolicy } = volume.containerDisk ?? {};
      mount(storage, name, { image: imageSource(image, imagePullPolicy) }, source.imageDirectory, true);
      return;
    }
    case "emptyDisk": {
      const sizeLimit = mebibytes(qcow2MaxBytes(source.capacityBytes));
      const medium = volume.emptyDisk?.medium === "Memory" ? { medium: "Memory" } : {};
      mount(storage, name, { emptyDir: { sizeLimit, ...medium } }, dirname(source.path));
      return;
    }
    case "file":
    case "block":
    case "ephemeral":
      addBacking(storage, name, volume, disk);
      return;
    case "cloudInit":
      addCloudInit(storage, name, volume, source);
      return;
    case "files":
      mount(storage, name, filesSource(volume), source.directory, true);
  }
}

/** A claim or a file of the node's. */
function addBacking(
  storage: PodStorage,
  name: string,
  { persistentVolumeClaim, ephemeral, hostDisk }: VmiVolume,
  { source, readonly }: LaunchDisk,
): void {
  if (source.kind !== "file" && source.kind !== "block" && source.kind !== "ephemeral") return;
  const { kind, path } = source.kind === "ephemeral" ? source.backing : source;
  if (hostDisk?.type === "Disk") {
    mount(storage, name, { hostPath: { path: hostDisk.path, type: "File" } }, path, readonly);
    return;
  }
  if (hostDisk !== undefined) {
    const hostPath = { path: dirname(hostDisk.path), type: "DirectoryOrCreate" };
    mount(storage, name, { hostPath }, dirname(path), readonly);
    return;
  }
  const { claimName = "" } = persistentVolumeClaim ?? ephemeral?.persistentVolumeClaim ?? {};
  const isRead = readonly || source.kind === "ephemeral";
  const claim = { persistentVolumeClaim: { claimName, ...(isRead ? { readOnly: true } : {}) } };
  if (kind === "file") {
    mount(storage, name, claim, dirname(path), isRead);
    return;
  }
  storage.volumes.push({ name, ...claim });
  storage.devices.push({ name, devicePath: path });
}

function addCloudInit(
  storage: PodStorage,
  name: string,
  { cloudInitNoCloud, cloudInitConfigDrive }: VmiVolume,
  { userData, networkData }: Extract<LaunchDisk["source"], { kind: "cloudInit" }>,
): void {
  const { secretRef, networkDataSecretRef } = cloudInitNoCloud ?? cloudInitConfigDrive ?? {};
  if (secretRef !== undefined && userData !== undefined && "directory" in userData)
    mount(storage, name, { secret: { secretName: secretRef.name } }, userData.directory, true);
  if (networkDataSecretRef !== undefined && networkData !== undefined && "directory" in networkData) {
    const secret = { secretName: networkDataSecretRef.name };
    mount(storage, `${name}-network`, { secret }, networkData.directory, true);
  }
}

function filesSource({ configMap, secret, serviceAccount, downwardAPI, sysprep }: VmiVolume): Source {
  if (configMap !== undefined) return { configMap: { name: configMap.name, ...optional(configMap) } };
  if (secret !== undefined) return { secret: { secretName: secret.secretName, ...optional(secret) } };
  if (downwardAPI !== undefined) return { downwardAPI: { items: downwardAPI.fields } };
  if (serviceAccount !== undefined) return { projected: { sources: SERVICE_ACCOUNT_FILES } };
  if (sysprep?.configMap !== undefined) return { configMap: { name: sysprep.configMap.name } };
  return { secret: { secretName: sysprep?.secret?.name ?? "" } };
}

/** What a pod that may use its service account finds in it. */
const SERVICE_ACCOUNT_FILES = [
  { serviceAccountToken: { path: "token", expirationSeconds: TOKEN_SECONDS } },
  { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
  { downwardAPI: { items: [{ path: "namespace", fieldRef: { fieldPath: "metadata.namespace" } }] } },
];

function optional({ optional: is }: { readonly optional?: boolean }): { optional?: boolean } {
  return is === undefined ? {} : { optional: is };
}

function mount(storage: PodStorage, name: string, source: Source, mountPath: string, readOnly = false): void {
  storage.volumes.push({ name, ...source });
  storage.mounts.push({ name, mountPath, ...(readOnly ? { readOnly } : {}) });
}

function imageSource(
  reference: string,
  pullPolicy: NonNullable<Volume["image"]>["pullPolicy"],
): NonNullable<Volume["image"]> {
  return { reference, ...(pullPolicy === undefined ? {} : { pullPolicy }) };
}

/** What the ISO images may take of the runtime tmpfs, in bytes. */
export function imageBytes({ disks, accessCredentials = [] }: LaunchSpec): number {
  const ofDisks = disks.reduce((sum, { source }) => sum + imageBytesOf(source), 0);
  const keys = accessCredentials.filter(({ propagation }) => propagation !== "qemuGuestAgent").length;
  return ofDisks + keys * OBJECT_BYTES;
}

function imageBytesOf(source: LaunchDisk["source"]): number {
  if (source.kind === "files") return IMAGE_BYTES + OBJECT_BYTES;
  if (source.kind !== "cloudInit") return 0;
  const secrets = [source.userData, source.networkData].filter(
    (data) => data !== undefined && "directory" in data,
  );
  // What is inline is at most 2 KiB: within the image's own.
  return IMAGE_BYTES + secrets.length * OBJECT_BYTES;
}

/** emptyDisks in memory and ISO images are the pod's memory; in bytes. */
export function tmpfsBytes({ spec }: VirtualMachineInstance, launch: LaunchSpec): number {
  const inMemory = new Set(
    (spec.volumes ?? []).flatMap(({ name, emptyDisk }) => (emptyDisk?.medium === "Memory" ? name : [])),
  );
  const disks = launch.disks.filter(({ name }) => inMemory.has(name));
  return disks.reduce(
    (sum, { source }) => sum + (source.kind === "emptyDisk" ? qcow2MaxBytes(source.capacityBytes) : 0),
    imageBytes(launch),
  );
}

export function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / MIB)}Mi`;
}
