/** The manifest that `virtpod create vm` writes, from virtctl's flags. Pure. */
import { stringify } from "yaml";
import { KUBEVIRT_GROUP, KUBEVIRT_VERSION } from "../api/names.ts";
import { parseQuantity } from "../lib/quantity.ts";
import { CliError } from "./errors.ts";
import { parseParams } from "./params.ts";

export interface VmOptions {
  readonly name: string;
  /** Left out of the manifest when absent: whoever applies it says where. */
  readonly namespace?: string;
  readonly runStrategy: string;
  /** Seconds. */
  readonly terminationGracePeriod: number;
  /** A quantity. */
  readonly memory: string;
  readonly volumeContainerdisk?: readonly string[];
  readonly volumePvc?: readonly string[];
  readonly volumeSysprep?: string;
  readonly user?: string;
  readonly password?: string;
  readonly sshKey?: readonly string[];
  readonly gaManageSsh?: boolean;
  readonly accessCred?: readonly string[];
  readonly cloudInit?: string;
  /** Base64. */
  readonly cloudInitUserData?: string;
  /** Base64. */
  readonly cloudInitNetworkData?: string;
}

interface NamedVolume {
  readonly volume: { readonly name: string; readonly [source: string]: unknown };
  readonly disk: object;
}

const RUN_STRATEGIES = ["Always", "RerunOnFailure", "Manual", "Once", "Halted"] as const;
const CLOUD_INITS = ["nocloud", "configdrive", "none"] as const;
const CLOUD_INIT_DISK = "cloudinitdisk";

/** @throws CliError */
export function vmManifest(options: VmOptions): object {
  const { memory, name, namespace, terminationGracePeriod } = options;
  if (!isQuantity(memory)) throw new CliError(`--memory ${memory} is no quantity: write 512Mi or 2Gi`);
  const runStrategy = RUN_STRATEGIES.find((one) => one.toLowerCase() === options.runStrategy.toLowerCase());
  if (runStrategy === undefined)
    throw new CliError(`--run-strategy is ${RUN_STRATEGIES.join(" or ")}, not ${options.runStrategy}`);
  const credentials = (options.accessCred ?? []).map((text) => credentialOf(text, options));
  const volumes = [
    ...disksOf(options),
    ...sysprep(options.volumeSysprep),
    ...cloudInit(options, credentials),
  ];
  mustDiffer(volumes.map(({ volume }) => volume.name));
  const accessCredentials = credentials.map(({ credential }) => credential);
  return {
    apiVersion: `${KUBEVIRT_GROUP}/${KUBEVIRT_VERSION}`,
    kind: "VirtualMachine",
    metadata: { name, ...(namespace !== undefined && { namespace }) },
    spec: {
      runStrategy,
      template: {
        spec: {
          terminationGracePeriodSeconds: terminationGracePeriod,
          domain: {
            memory: { guest: memory },
            devices: volumes.length === 0 ? {} : { disks: volumes.map(({ disk }) => disk) },
          },
          ...(volumes.length > 0 && { volumes: volumes.map(({ volume }) => volume) }),
          ...(accessCredentials.length > 0 && { accessCredentials }),
        },
      },
    },
  };
}

function disksOf({ name, volumeContainerdisk = [], volumePvc = [] }: VmOptions): readonly NamedVolume[] {
  const orders = new Set<number>();
  const diskOf = (
    flag: string,
    text: string,
    fallback: (src: string) => string,
    source: (src: string) => object,
  ) => {
    const { src, bootorder, name: own } = parseParams(flag, text, ["src", "name", "bootorder"]);
    if (src === undefined) throw new CliError(`--${flag} ${text} names no source: write src:NAME`);
    const volume = own ?? fallback(src);
    const bootOrder = bootorder === undefined ? undefined : bootOrderOf(flag, bootorder, orders);
    const disk = { name: volume, disk: { bus: "virtio" }, ...(bootOrder !== undefined && { bootOrder }) };
    return { volume: { name: volume, ...source(src) }, disk };
  };
  return [
    ...volumeContainerdisk.map((text, at) =>
      diskOf(
        "volume-containerdisk",
        text,
        () => `${name}-containerdisk-${at}`,
        (image) => ({ containerDisk: { image } }),
      ),
    ),
    ...volumePvc.map((text) =>
      diskOf(
        "volume-pvc",
        text,
        (claim) => claim,
        (claimName) => ({ persistentVolumeClaim: { claimName } }),
      ),
    ),
  ];
}

function bootOrderOf(flag: string, text: string, taken: Set<number>): number {
  const order = Number(text);
  if (!Number.isSafeInteger(order) || order < 1)
    throw new CliError(`--${flag}: bootorder is a whole number from 1, not ${text}`);
  if (taken.has(order)) throw new CliError(`--${flag}: bootorder ${order} is given twice`);
  taken.add(order);
  return order;
}

function sysprep(text: string | undefined): readonly NamedVolume[] {
  if (text === undefined) return [];
  const { src, type = "configmap" } = parseParams("volume-sysprep", text, ["src", "type"]);
  if (src === undefined) throw new CliError(`--volume-sysprep ${text} names no source: write src:NAME`);
  const kind = { configmap: "configMap", secret: "secret" }[type.toLowerCase()];
  if (kind === undefined) throw new CliError(`--volume-sysprep: type is configmap or secret, not ${type}`);
  const name = "sysprepdisk";
  return [
    {
      volume: { name, sysprep: { [kind]: { name: src } } },
      disk: { name, cdrom: { bus: "sata" } },
    },
  ];
}

interface Credential {
  readonly credential: object;
  /** What it needs: the agent allowed to write keys, or a cloud-init of that kind. */
  readonly needs?: "agent" | (typeof CLOUD_INITS)[number];
}

function credentialOf(text: string, { user: fallback }: VmOptions): Credential {
  const flag = "access-cred";
  const params = parseParams(flag, text, ["type", "src", "method", "user"]);
  const { type = "ssh", src, method = "ga", user } = params;
  if (src === undefined) throw new CliError(`--${flag} ${text} names no Secret: write src:NAME`);
  const source = { secret: { secretName: src } };
  const way = method.toLowerCase();
  if (type.toLowerCase() === "password") {
    if (way !== "ga") throw new CliError(`--${flag}: a password's method is ga, not ${method}`);
    if (user !== undefined) throw new CliError(`--${flag}: a password's Secret names the users itself`);
    return { credential: { userPassword: { source, propagationMethod: { qemuGuestAgent: {} } } } };
  }
  if (type.toLowerCase() !== "ssh") throw new CliError(`--${flag}: type is ssh or password, not ${type}`);
  const key = (propagationMethod: object) => ({ sshPublicKey: { source, propagationMethod } });
  if (way === "ga") {
    const owner = user ?? fallback;
    if (owner === undefined)
      throw new CliError(`--${flag} ${text}: say whose keys they are, by user: in it or by --user`);
    return { credential: key({ qemuGuestAgent: { users: [owner] } }), needs: "agent" };
  }
  if (user !== undefined) throw new CliError(`--${flag}: user is for the method ga`);
  if (way === "nocloud") return { credential: key({ noCloud: {} }), needs: "nocloud" };
  if (way === "configdrive") return { credential: key({ configDrive: {} }), needs: "configdrive" };
  throw new CliError(`--${flag}: method is ga, nocloud or configdrive, not ${method}`);
}

function cloudInit(options: VmOptions, credentials: readonly Credential[]): readonly NamedVolume[] {
  const { cloudInitNetworkData, cloudInitUserData, gaManageSsh, password, sshKey = [], user } = options;
  const needed = CLOUD_INITS.filter((one) => credentials.some(({ needs }) => needs === one));
  const kind = options.cloudInit?.toLowerCase() ?? needed[0] ?? "nocloud";
  if (!CLOUD_INITS.includes(kind as (typeof CLOUD_INITS)[number]))
    throw new CliError(`--cloud-init is ${CLOUD_INITS.join(" or ")}, not ${options.cloudInit}`);
  const other = needed.find((one) => one !== kind);
  if (other !== undefined)
    throw new CliError(
      `--access-cred asks for the method ${other}, and cloud-init is ${kind}: they must agree`,
    );
  const isConfigured = user ?? password ?? sshKey[0] ?? gaManageSsh ?? undefined;
  if (cloudInitUserData !== undefined && isConfigured !== undefined)
    throw new CliError(
      "--cloud-init-user-data is the whole of it: leave --user, --password-file, --ssh-key, --ga-manage-ssh away",
    );
  const isAsked = isConfigured ?? cloudInitUserData ?? cloudInitNetworkData ?? options.cloudInit ?? needed[0];
  if (kind === "none") {
    if ((isConfigured ?? cloudInitUserData ?? cloudInitNetworkData) !== undefined)
      throw new CliError(
        "--cloud-init none leaves the other cloud-init flags without effect: drop one or the other",
      );
    return [];
  }
  const manages = gaManageSsh ?? credentials.some(({ needs }) => needs === "agent");
  if (isAsked === undefined && !manages) return [];
  const source = {
    ...(cloudInitUserData === undefined
      ? { userData: userData({ user, password, sshKey, manages }) }
      : { userDataBase64: base64("cloud-init-user-data", cloudInitUserData) }),
    ...(cloudInitNetworkData !== undefined && {
      networkDataBase64: base64("cloud-init-network-data", cloudInitNetworkData),
    }),
  };
  const key = kind === "nocloud" ? "cloudInitNoCloud" : "cloudInitConfigDrive";
  return [
    {
      volume: { name: CLOUD_INIT_DISK, [key]: source },
      disk: { name: CLOUD_INIT_DISK, disk: { bus: "virtio" } },
    },
  ];
}

interface CloudConfig {
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly sshKey: readonly string[];
  readonly manages: boolean;
}

function userData({ user, password, sshKey, manages }: CloudConfig): string {
  const config = {
    ...(user !== undefined && { user }),
    ...(password !== undefined && { password, chpasswd: { expire: false } }),
    ...(sshKey.length > 0 && { ssh_authorized_keys: [...sshKey] }),
    // SELinux of Fedora and its kin keeps the agent from authorized_keys without this.
    ...(manages && { runcmd: [["setsebool", "-P", "virt_qemu_ga_manage_ssh", "on"]] }),
  };
  return Object.keys(config).length === 0 ? "#cloud-config\n" : `#cloud-config\n${yaml(config)}`;
}

/** As YAML 1.1 reads it too, which kubectl and cloud-init speak: there a plain y is a boolean. */
export function yaml(value: object): string {
  return stringify(value, { version: "1.1" });
}

function isQuantity(text: string): boolean {
  try {
    return parseQuantity(text) > 0;
  } catch {
    return false;
  }
}

/** As it is, once it is sure that it is base64. */
function base64(flag: string, text: string): string {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text) || text.length % 4 !== 0)
    throw new CliError(`--${flag} is no base64: give it as base64 -w0 writes it`);
  return text;
}

function mustDiffer(names: readonly string[]): void {
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw new CliError(`two volumes are named ${twice}: name one of them with name:`);
}
