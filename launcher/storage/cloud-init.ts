/**
 * What cloud-init reads at a guest's first boot, as the files of a NoCloud seed or of an OpenStack config drive.
 * Pure; names and layouts are those of cloud-init's data sources, values are KubeVirt's.
 */
import type { LaunchDiskSource } from "../../api/launch-spec.ts";
import type { IsoFile } from "./iso-tree.ts";

export interface CloudInitContent {
  readonly instanceId: string;
  readonly hostname: string;
  readonly userData?: Buffer;
  readonly networkData?: Buffer;
  /** Lines of authorized_keys, in the order of the access credentials. */
  readonly publicKeys: readonly string[];
}

export type CloudInitFormat = Extract<LaunchDiskSource, { kind: "cloudInit" }>["format"];

/** Labels that the data sources look for. */
export const CLOUD_INIT_LABELS: Readonly<Record<CloudInitFormat, string>> = {
  noCloud: "cidata",
  configDrive: "config-2",
};

export function cloudInitFiles(format: CloudInitFormat, content: CloudInitContent): readonly IsoFile[] {
  return format === "noCloud" ? noCloud(content) : configDrive(content);
}

/** user-data has to be there, or cloud-init doesn't take the disk for a seed. */
function noCloud({ hostname, instanceId, networkData, publicKeys, userData }: CloudInitContent): IsoFile[] {
  const metaData = {
    "instance-id": instanceId,
    "local-hostname": hostname,
    ...(publicKeys.length > 0 && { "public-keys": numbered(publicKeys) }),
  };
  return [
    json("meta-data", metaData),
    { path: "user-data", content: userData ?? Buffer.alloc(0) },
    ...optionalFile("network-config", networkData),
  ];
}

function configDrive({
  hostname,
  instanceId,
  networkData,
  publicKeys,
  userData,
}: CloudInitContent): IsoFile[] {
  const metaData = {
    instance_id: instanceId,
    uuid: instanceId,
    hostname,
    local_hostname: hostname,
    ...(publicKeys.length > 0 && { public_keys: numbered(publicKeys) }),
  };
  return [
    json("openstack/latest/meta_data.json", metaData),
    ...optionalFile("openstack/latest/user_data", userData),
    ...optionalFile("openstack/latest/network_data.json", networkData),
  ];
}

/** Every non-empty line of the files of a Secret with public keys. */
export function publicKeysOf(files: readonly IsoFile[]): readonly string[] {
  return files.flatMap(({ content }) =>
    content
      .toString("utf8")
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== ""),
  );
}

function numbered(values: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(values.map((value, index) => [String(index), value]));
}

function json(path: string, value: unknown): IsoFile {
  return { path, content: Buffer.from(JSON.stringify(value)) };
}

function optionalFile(path: string, content: Buffer | undefined): IsoFile[] {
  return content === undefined ? [] : [{ path, content }];
}
