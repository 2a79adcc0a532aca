/** Disks and volumes for validation.cluster.test.ts. */
import { type Change, DISK, DOMAIN, type Path } from "./validation.fixture.ts";

const SPEC = ["spec", "template", "spec"] as const;
const VOLUME = [...SPEC, "volumes", 0] as const;
const DISK_FIELD = "spec.template.spec.domain.devices.disks[0]";
const DISKS_FIELD = "spec.template.spec.domain.devices.disks";
const VOLUME_FIELD = "spec.template.spec.volumes[0]";
const DEVICES = [...DOMAIN, "devices"] as const;
const EFI = [...DOMAIN, "firmware", "bootloader", "efi"] as const;

/** The one volume, from another source. */
const from = (source: object): Change => [[...VOLUME], { name: "a", ...source }];
const claim = (more: object = {}): Change => from({ persistentVolumeClaim: { claimName: "data", ...more } });
/** The one disk, otherwise. */
const disk = (more: object): Change => [[...DISK], { name: "a", ...more }];
const key = (propagationMethod: object): Change => [
  [...SPEC, "accessCredentials"],
  [{ sshPublicKey: { source: { secret: { secretName: "keys" } }, propagationMethod } }],
];
const annotation = (name: string, value: string): Change => [
  ["spec", "template", "metadata", "annotations"],
  { [name]: value },
];
const userData = (cloudInit: object): Change => from({ cloudInitNoCloud: cloudInit });

/** Changes of `machine` that leave it acceptable. */
export const acceptedDisks: Readonly<Record<string, readonly Change[]>> = {
  "volumes without a disk, and one with": [
    [[...SPEC, "volumes", 1], { name: "b", cloudInitNoCloud: { userData: "#cloud-config" } }],
    [[...SPEC, "volumes", 2], { name: "c", persistentVolumeClaim: { claimName: "data", readOnly: false } }],
  ],
  "a volume and no disk at all": [[[...DEVICES, "disks"], undefined]],
  "a claim": [claim()],
  "a read-only claim as a cdrom": [claim({ readOnly: true }), disk({ cdrom: {} })],
  "an ephemeral volume": [from({ ephemeral: { persistentVolumeClaim: { claimName: "data" } } })],
  "a lun on a claim": [claim(), disk({ lun: { bus: "scsi" } })],
  "cloud-init with 2048 bytes": [userData({ userData: "x".repeat(2048) })],
  "cloud-init in Base64 with line ends": [userData({ userDataBase64: "I2Nsb3Vk\nLWNvbmZpZw==\n" })],
  "cloud-init from Secrets": [
    from({ cloudInitConfigDrive: { secretRef: { name: "u" }, networkDataSecretRef: { name: "n" } } }),
  ],
  "a ConfigMap": [from({ configMap: { name: "c", optional: true, volumeLabel: "config" } })],
  "a Secret": [from({ secret: { secretName: "s" } })],
  "fields of the pod": [
    from({
      downwardAPI: {
        fields: [
          { path: "labels", fieldRef: { fieldPath: "metadata.labels" } },
          { path: "one", fieldRef: { fieldPath: "metadata.annotations['example.com/one']" } },
          { path: "memory", resourceFieldRef: { containerName: "compute", resource: "requests.memory" } },
        ],
      },
    }),
  ],
  "answer files": [from({ sysprep: { secret: { name: "s" } } }), disk({ cdrom: {} })],
  "a disk with everything": [
    claim(),
    disk({
      disk: { bus: "virtio", readonly: false },
      bootOrder: 1,
      serial: "s-1",
      cache: "none",
      io: "native",
      errorPolicy: "report",
      shareable: true,
      dedicatedIOThread: true,
      blockSize: { custom: { logical: 512, physical: 4096 } },
    }),
    [[...DOMAIN, "ioThreadsPolicy"], "auto"],
    [[...DOMAIN, "devices", "blockMultiQueue"], true],
  ],
  "the volume's block sizes": [claim(), disk({ disk: { bus: "scsi" }, blockSize: { matchVolume: {} } })],
  UEFI: [[[...EFI], { secureBoot: false }]],
  "UEFI with secure boot": [
    [[...EFI], {}],
    [[...DOMAIN, "features", "smm"], { enabled: true }],
  ],
  "BIOS on the serial console": [[[...DOMAIN, "firmware", "bootloader"], { bios: { useSerial: true } }]],
  "a watchdog, a tablet, a graphics adapter and a sound card": [
    [[...DEVICES, "watchdog"], { name: "w", i6300esb: { action: "poweroff" } }],
    [[...DEVICES, "inputs"], [{ name: "t", type: "tablet", bus: "usb" }]],
    [[...DEVICES, "video"], { type: "virtio" }],
    [[...DEVICES, "sound"], { name: "s", model: "ac97" }],
  ],
  "keys by cloud-init": [userData({ userData: "#cloud-config" }), key({ noCloud: {} })],
  "keys and a password by the guest agent": [
    [
      [...SPEC, "accessCredentials"],
      [
        {
          sshPublicKey: {
            source: { secret: { secretName: "keys" } },
            propagationMethod: { qemuGuestAgent: { users: ["debian"] } },
          },
        },
        {
          userPassword: {
            source: { secret: { secretName: "passwords" } },
            propagationMethod: { qemuGuestAgent: {} },
          },
        },
      ],
    ],
  ],
};

export const refusedDisks: readonly (readonly [string, readonly Change[], string, RegExp])[] = [
  [
    "a read-only disk on sata",
    [disk({ disk: { bus: "sata", readonly: true } })],
    `${DISK_FIELD}.disk.readonly`,
    /sata can't be read-only/,
  ],
  [
    "a read-only disk on the default bus",
    [disk({ disk: { readonly: true } })],
    `${DISK_FIELD}.disk.readonly`,
    /sata can't be read-only/,
  ],
  [
    "a read-only claim on sata",
    [claim({ readOnly: true })],
    DISKS_FIELD,
    /a: a disk on the bus sata can't be read-only/,
  ],
  [
    "a read-only claim without a disk",
    [claim({ readOnly: true }), [[...DEVICES, "disks"], undefined]],
    "spec.template.spec.volumes",
    /a: the default disk, on the bus sata, can't be read-only.*list a disk of this name on virtio/,
  ],
  ["a cdrom on virtio", [disk({ cdrom: { bus: "virtio" } })], `${DISK_FIELD}.cdrom.bus`, /Unsupported value/],
  [
    "a cdrom that can be written",
    [disk({ cdrom: { readonly: false } })],
    `${DISK_FIELD}.cdrom.readonly`,
    /can't be written/,
  ],
  ["a lun on an empty disk", [disk({ lun: {} })], DISKS_FIELD, /a: a lun needs a persistentVolumeClaim/],
  [
    "a lun on virtio",
    [claim(), disk({ lun: { bus: "virtio" } })],
    `${DISK_FIELD}.lun.bus`,
    /virtio is not supported/,
  ],
  ["a shareable empty disk", [disk({ shareable: true })], DISKS_FIELD, /a: a shareable disk needs/],
  [
    "a shareable disk with a cache",
    [claim(), disk({ shareable: true, cache: "writeback" })],
    `${DISK_FIELD}.shareable`,
    /cache none/,
  ],
  [
    "native I/O through a cache",
    [disk({ io: "native", cache: "writethrough" })],
    `${DISK_FIELD}.io`,
    /needs cache none/,
  ],
  [
    "a block size on sata",
    [disk({ blockSize: { matchVolume: {} } })],
    `${DISK_FIELD}.blockSize`,
    /virtio or scsi/,
  ],
  [
    "a block size that is no power of two",
    [disk({ disk: { bus: "virtio" }, blockSize: { custom: { logical: 512, physical: 4000 } } })],
    `${DISK_FIELD}.blockSize.custom.physical`,
    /power of two/,
  ],
  [
    "a logical block larger than the physical one",
    [disk({ disk: { bus: "virtio" }, blockSize: { custom: { logical: 4096, physical: 512 } } })],
    `${DISK_FIELD}.blockSize.custom.logical`,
    /above physical/,
  ],
  [
    "two kinds of block size",
    [
      disk({
        disk: { bus: "virtio" },
        blockSize: { matchVolume: {}, custom: { logical: 512, physical: 512 } },
      }),
    ],
    `${DISK_FIELD}.blockSize`,
    /custom or matchVolume/,
  ],
  [
    "an I/O thread for a sata disk",
    [disk({ dedicatedIOThread: true })],
    `${DISK_FIELD}.dedicatedIOThread`,
    /bus virtio/,
  ],
  [
    "ioThreadsPolicy: supplementalPool",
    [[[...DOMAIN, "ioThreadsPolicy"], "supplementalPool"]],
    "spec.template.spec.domain.ioThreadsPolicy",
    /supplementalPool is not supported/,
  ],
  [
    "one claim for two disks",
    [
      [
        [...SPEC, "volumes"],
        ["a", "b"].map((name) => ({ name, persistentVolumeClaim: { claimName: "data" } })),
      ],
      [
        [...DOMAIN, "devices", "disks"],
        [{ name: "a" }, { name: "b" }],
      ],
    ],
    "spec.template.spec.volumes",
    /same persistentVolumeClaim/,
  ],
  [
    "an ephemeral volume that is written",
    [from({ ephemeral: { persistentVolumeClaim: { claimName: "data", readOnly: false } } })],
    `${VOLUME_FIELD}.ephemeral.persistentVolumeClaim.readOnly`,
    /never written/,
  ],
  [
    "a host disk to be made without a size",
    [from({ hostDisk: { path: "/srv/a.img", type: "DiskOrCreate" } })],
    `${VOLUME_FIELD}.hostDisk.capacity`,
    /DiskOrCreate, which needs it/,
  ],
  [
    "a host disk out of bounds",
    [from({ hostDisk: { path: "/srv/../etc/shadow", type: "Disk" } })],
    `${VOLUME_FIELD}.hostDisk.path`,
    /must not contain/,
  ],
  [
    "cloud-init without data",
    [userData({})],
    `${VOLUME_FIELD}.cloudInitNoCloud`,
    /needs user data or network data/,
  ],
  [
    "cloud-init with two kinds of user data",
    [userData({ userData: "x", secretRef: { name: "s" } })],
    `${VOLUME_FIELD}.cloudInitNoCloud`,
    /user data has one source/,
  ],
  [
    "cloud-init of 2049 characters",
    [userData({ userData: "x".repeat(2049) })],
    `${VOLUME_FIELD}.cloudInitNoCloud.userData`,
    /may not be more than 2048/,
  ],
  [
    "cloud-init of 2050 bytes in 1025 characters",
    [userData({ networkData: "ö".repeat(1025) })],
    `${VOLUME_FIELD}.cloudInitNoCloud.networkData`,
    /longer than 2048 bytes: put it into a Secret/,
  ],
  [
    "cloud-init that is no Base64",
    [userData({ userDataBase64: "#cloud-config" })],
    `${VOLUME_FIELD}.cloudInitNoCloud.userDataBase64`,
    /should match/,
  ],
  [
    "answer files from two places",
    [from({ sysprep: { secret: { name: "s" }, configMap: { name: "c" } } })],
    `${VOLUME_FIELD}.sysprep`,
    /configMap or secret/,
  ],
  [
    "a field that a pod's volume can't hold",
    [from({ downwardAPI: { fields: [{ path: "ip", fieldRef: { fieldPath: "status.podIP" } }] } })],
    `${VOLUME_FIELD}.downwardAPI.fields[0].fieldRef.fieldPath`,
    /should match/,
  ],
  [
    "two service accounts",
    [
      [
        [...SPEC, "volumes"],
        ["a", "b"].map((name) => ({ name, serviceAccount: { serviceAccountName: name } })),
      ],
      [
        [...DOMAIN, "devices", "disks"],
        [{ name: "a" }, { name: "b" }],
      ],
    ],
    "spec.template.spec.volumes",
    /only one volume can be a serviceAccount/,
  ],
  [
    "keys by cloud-init without its volume",
    [key({ configDrive: {} })],
    "spec.template.spec.accessCredentials",
    /needs a cloudInitConfigDrive volume/,
  ],
  [
    "keys in two ways",
    [userData({ userData: "x" }), key({ noCloud: {}, qemuGuestAgent: { users: ["a"] } })],
    "spec.template.spec.accessCredentials[0].sshPublicKey.propagationMethod",
    /one way into the guest/,
  ],
  [
    "keys for nobody",
    [key({ qemuGuestAgent: { users: [] } })],
    "spec.template.spec.accessCredentials[0].sshPublicKey.propagationMethod.qemuGuestAgent.users",
    /at least 1 items/,
  ],
  [
    "secure boot without SMM",
    [[[...EFI], {}]],
    "spec.template.spec.domain.firmware.bootloader.efi",
    /needs features.smm/,
  ],
  [
    "a BIOS on no serial console",
    [
      [[...DOMAIN, "firmware", "bootloader"], { bios: { useSerial: true } }],
      [[...DEVICES, "autoattachSerialConsole"], false],
    ],
    "spec.template.spec.domain.firmware.bootloader.bios.useSerial",
    /needs the serial console/,
  ],
  [
    "a graphics adapter without graphics",
    [
      [[...DEVICES, "video"], { type: "vga" }],
      [[...DEVICES, "autoattachGraphicsDevice"], false],
    ],
    "spec.template.spec.domain.devices.video",
    /needs the graphics device/,
  ],
  [
    "a pointer of another kind",
    [[[...DEVICES, "inputs"], [{ name: "t", type: "mouse" }]]],
    "spec.template.spec.domain.devices.inputs[0].type",
    /Unsupported value/,
  ],
  [
    "a request for the node's disk above its limit",
    [
      [
        [...DOMAIN, "resources"],
        { requests: { "ephemeral-storage": "2Gi" }, limits: { "ephemeral-storage": "1Gi" } },
      ],
    ],
    "spec.template.spec.domain.resources.requests.ephemeral-storage",
    /must not be above/,
  ],
  [
    "BIOS and UEFI",
    [[[...DOMAIN, "firmware", "bootloader"], { bios: {}, efi: { secureBoot: false } }]],
    "spec.template.spec.domain.firmware.bootloader",
    /one of bios and efi/,
  ],
];

/** What an installation has to allow first, and the chart's value that does. */
export const refusedByPolicy: readonly (readonly [Change, RegExp])[] = [
  [from({ hostDisk: { path: "/srv/a.img", type: "Disk" } }), /chart's value allowHostDisk/],
  [from({ serviceAccount: { serviceAccountName: "default" } }), /chart's value allowServiceAccountDisk/],
  [annotation("hooks.kubevirt.io/hookSidecars", "[]"), /hooks.kubevirt.io\/hookSidecars is not supported/],
  [annotation("kubevirt.io/ignitiondata", "{}"), /kubevirt.io\/ignitiondata is not supported/],
];

/** What stands beside a refused field because its object needs it, by a part of the field's path. */
export function surroundings(path: Path): readonly Change[] {
  const changes: Change[] = [];
  if (path.includes("cdrom") || path.includes("lun")) changes.push([[...DISK, "disk"], undefined]);
  if (path.includes("persistentVolumeClaim") || path.includes("lun")) changes.push(claim());
  if (path.includes("watchdog")) changes.push([[...DEVICES, "watchdog"], { name: "w" }]);
  if (path.includes("hostDisk")) changes.push(from({ hostDisk: { path: "/srv/a.img", type: "Disk" } }));
  const handler = path.findIndex((segment) => segment === "httpGet" || segment === "tcpSocket");
  if (handler !== -1) changes.push([path.slice(0, handler + 1), { port: 80 }]);
  if (path.includes("custom")) {
    changes.push(disk({ disk: { bus: "virtio" }, blockSize: { custom: { logical: 512, physical: 512 } } }));
  }
  return changes;
}
