/** Volumes that the launcher makes an ISO image of: cloud-init, ConfigMaps, Secrets and the like; pure. */
import { isUtf8 } from "node:buffer";
import { CLOUD_INIT_INLINE_MAX_BYTES, type CloudInit } from "../../api/cloud-init.ts";
import type { CloudInitData, LaunchDiskSource } from "../../api/launch-spec.ts";
import { LAUNCHER_PATHS } from "../../api/names.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Volume } from "../../api/volumes.ts";
import { uuidOf } from "./domain.ts";
import { hostnameOf } from "./hostname.ts";
import { SpecError } from "./spec-error.ts";

/** KubeVirt's labels. */
const DEFAULT_LABEL = "cfgdata";
const SYSPREP_LABEL = "unattendCD";

/** undefined for a volume of another kind. @throws SpecError for data that can't be decoded or is too long */
export function imageSourceOf(vmi: VirtualMachineInstance, volume: Volume): LaunchDiskSource | undefined {
  const path = `${LAUNCHER_PATHS.images}/${volume.name}.iso`;
  const directory = `${LAUNCHER_PATHS.volumes}/${volume.name}`;
  const { cloudInitNoCloud, cloudInitConfigDrive, configMap, secret, serviceAccount, downwardAPI, sysprep } =
    volume;
  const cloudInit = cloudInitNoCloud ?? cloudInitConfigDrive;
  if (cloudInit !== undefined) {
    return {
      kind: "cloudInit",
      format: cloudInitNoCloud === undefined ? "configDrive" : "noCloud",
      path,
      ...cloudInitData(volume.name, directory, cloudInit),
      instanceId: uuidOf(vmi),
      hostname: hostnameOf(vmi),
    };
  }
  if (sysprep !== undefined)
    return { kind: "files", directory, path, volumeLabel: SYSPREP_LABEL, sysprep: true };
  const labelled = configMap ?? secret ?? downwardAPI;
  if (labelled === undefined && serviceAccount === undefined) return undefined;
  return { kind: "files", directory, path, volumeLabel: labelled?.volumeLabel ?? DEFAULT_LABEL };
}

function cloudInitData(name: string, directory: string, data: CloudInit) {
  const field = (what: string) => `spec.volumes[${name}].${what}`;
  const userData =
    data.secretRef !== undefined
      ? { directory: `${directory}/userdata`, keys: ["userdata", "userData"] }
      : inline(data.userData, data.userDataBase64, field("userData"));
  const networkData =
    data.networkDataSecretRef !== undefined
      ? { directory: `${directory}/networkdata`, keys: ["networkdata", "networkData"] }
      : inline(data.networkData, data.networkDataBase64, field("networkData"));
  return {
    ...(userData === undefined ? {} : { userData }),
    ...(networkData === undefined ? {} : { networkData }),
  };
}

/** Base64 of what is text becomes text: nearly all is, and a person can read it in the pod. @throws SpecError */
function inline(
  text: string | undefined,
  base64: string | undefined,
  field: string,
): CloudInitData | undefined {
  if (text === undefined && base64 === undefined) return undefined;
  const bytes = text === undefined ? decoded(base64 ?? "", `${field}Base64`) : Buffer.from(text);
  if (bytes.length > CLOUD_INIT_INLINE_MAX_BYTES) {
    throw new SpecError(
      `${field} has ${bytes.length} bytes, more than the ${CLOUD_INIT_INLINE_MAX_BYTES} that may stand in the spec: put it into a Secret`,
    );
  }
  return isUtf8(bytes) ? { text: bytes.toString() } : { base64: bytes.toString("base64") };
}

function decoded(base64: string, field: string): Buffer {
  const bare = base64.replaceAll(/[\r\n]/g, "");
  const bytes = Buffer.from(bare, "base64");
  // Buffer skips what it doesn't know; a Base64 text is what its bytes are written as.
  if (bytes.toString("base64") !== bare) throw new SpecError(`${field} is not Base64`);
  return bytes;
}
