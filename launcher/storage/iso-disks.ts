/** Disks that the launcher fills itself: ISO images of cloud-init data and of mounted files, on tmpfs. */
import type { CloudInitData, LaunchAccessCredential, LaunchDiskSource } from "../../api/launch-spec.ts";
import { LauncherError } from "../errors.ts";
import { CLOUD_INIT_LABELS, type CloudInitFormat, cloudInitFiles, publicKeysOf } from "./cloud-init.ts";
import { replaceFile } from "./file.ts";
import { isoImage } from "./iso9660.ts";
import { readKey, readMounted } from "./mounted-files.ts";

type CloudInit = Extract<LaunchDiskSource, { kind: "cloudInit" }>;
type Files = Extract<LaunchDiskSource, { kind: "files" }>;

/** Windows Setup reads the first, an installed Windows at its first start the second. */
const ANSWER_FILES: ReadonlySet<string> = new Set(["autounattend.xml", "unattend.xml"]);

/** @throws LauncherError SecretKeyMissing, DiskNotFound, DiskTooLarge, DiskNoRoom, DiskAccess, DiskCreation */
export async function makeCloudInit(
  volume: string,
  source: CloudInit,
  credentials: readonly LaunchAccessCredential[],
  at: Date,
): Promise<void> {
  const { format, hostname, instanceId, path } = source;
  const [userData, networkData, publicKeys] = await Promise.all([
    dataOf(volume, source.userData),
    dataOf(volume, source.networkData),
    keysFor(format, credentials),
  ]);
  const files = cloudInitFiles(format, {
    instanceId,
    hostname,
    publicKeys,
    ...(userData !== undefined && { userData }),
    ...(networkData !== undefined && { networkData }),
  });
  await replaceFile(path, `volume ${volume}`, isoImage({ label: CLOUD_INIT_LABELS[format], files, at }));
}

/** @throws LauncherError SysprepMissing, DiskNotFound, DiskTooLarge, DiskNoRoom, DiskAccess, DiskCreation */
export async function makeFilesImage(volume: string, source: Files, at: Date): Promise<void> {
  const files = await readMounted(volume, source.directory);
  if (source.sysprep && !files.some(({ path }) => ANSWER_FILES.has(path.toLowerCase()))) {
    throw new LauncherError(
      "SysprepMissing",
      `volume ${volume}: a sysprep volume needs a file autounattend.xml or unattend.xml`,
    );
  }
  await replaceFile(source.path, `volume ${volume}`, isoImage({ label: source.volumeLabel, files, at }));
}

async function dataOf(volume: string, data: CloudInitData | undefined): Promise<Buffer | undefined> {
  if (data === undefined) return undefined;
  if ("text" in data) return Buffer.from(data.text);
  return "base64" in data ? Buffer.from(data.base64, "base64") : readKey(volume, data);
}

/** Keys that are propagated this way; the guest agent gets the others. */
async function keysFor(
  format: CloudInitFormat,
  credentials: readonly LaunchAccessCredential[],
): Promise<readonly string[]> {
  const wanted = credentials.filter(
    ({ kind, propagation }) => kind === "sshPublicKey" && propagation === format,
  );
  const lists = await Promise.all(
    wanted.map(async ({ directory }) => publicKeysOf(await readMounted("of access credentials", directory))),
  );
  return lists.flat();
}
