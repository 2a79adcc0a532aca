import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { CloudInit } from "../../api/cloud-init.ts";
import type { Disk } from "../../api/disks.ts";
import type { Volume } from "../../api/volumes.ts";
import type { ClaimFacts } from "./claims.ts";
import { resolveDisks } from "./disks.ts";
import { instance } from "./instance.fixture.ts";
import { SpecError } from "./spec-error.ts";

const MIB = 1024 * 1024;
const CLAIMS = new Map<string, ClaimFacts>([
  ["files", claim("Filesystem")],
  ["raw", claim("Block")],
]);

function claim(volumeMode: "Filesystem" | "Block"): ClaimFacts {
  return { phase: "Bound", volumeMode, accessModes: ["ReadWriteOnce"], capacityBytes: 64 * MIB };
}

type Source = Omit<Volume, "name">;

function resolve(source: Source, disk: Omit<Disk, "name"> = {}, devices: object = {}, domain: object = {}) {
  const vmi = instance({
    domain: { ...domain, devices: { ...devices, disks: [{ name: "d", ...disk }] } },
    volumes: [{ name: "d", ...source }],
  });
  const [resolved] = resolveDisks(vmi, CLAIMS);
  assert(resolved !== undefined);
  return resolved;
}

const sourceOf = (source: Source, disk?: Omit<Disk, "name">) => resolve(source, disk).source;

describe("a disk on a claim", () => {
  const files = { persistentVolumeClaim: { claimName: "files" } };

  it("is the file disk.img of a file system, made with the claim's size", () => {
    assert.deepEqual(sourceOf(files), {
      kind: "file",
      path: "/run/virtpod/volumes/d/disk.img",
      capacityBytes: 64 * MIB,
    });
  });

  it("is a block device as it is", () => {
    assert.deepEqual(sourceOf({ persistentVolumeClaim: { claimName: "raw" } }), {
      kind: "block",
      path: "/dev/virtpod/d",
    });
  });

  it("that is only read is not made, and can't be written, whoever says that it is read", () => {
    const readOnly = { persistentVolumeClaim: { claimName: "files", readOnly: true } };
    for (const [source, disk] of [
      [readOnly, { disk: { bus: "virtio" } }],
      [files, { disk: { bus: "virtio", readonly: true } }],
      [files, { cdrom: {} }],
    ] as const) {
      const { readonly, source: resolved } = resolve(source, disk);
      assert.equal(readonly, true);
      assert.deepEqual(resolved, { kind: "file", path: "/run/virtpod/volumes/d/disk.img" });
    }
  });

  it("that is ephemeral has an overlay over what is there", () => {
    const ephemeral = (claimName: string) =>
      sourceOf({ ephemeral: { persistentVolumeClaim: { claimName } } });
    const overlayPath = "/run/virtpod/scratch/d.qcow2";
    assert.deepEqual(ephemeral("files"), {
      kind: "ephemeral",
      backing: { kind: "file", path: "/run/virtpod/volumes/d/disk.img" },
      overlayPath,
    });
    assert.deepEqual(ephemeral("raw"), {
      kind: "ephemeral",
      backing: { kind: "block", path: "/dev/virtpod/d" },
      overlayPath,
    });
  });

  it("that is missing can't be resolved", () => {
    assert.throws(() => sourceOf({ persistentVolumeClaim: { claimName: "none" } }), SpecError);
  });
});

describe("a disk on the node's file", () => {
  it("is mounted alone where it must be there, and with its directory where it may have to be made", () => {
    assert.deepEqual(sourceOf({ hostDisk: { path: "/srv/vm/root.img", type: "Disk" } }), {
      kind: "file",
      path: "/run/virtpod/volumes/d/disk.img",
    });
    assert.deepEqual(
      sourceOf({ hostDisk: { path: "/srv/vm/root.img", type: "DiskOrCreate", capacity: "10M" } }),
      { kind: "file", path: "/run/virtpod/volumes/d/root.img", capacityBytes: 9 * MIB },
    );
  });
});

describe("cloud-init", () => {
  const noCloud = (cloudInitNoCloud: CloudInit) => {
    const source = sourceOf({ cloudInitNoCloud });
    assert(source.kind === "cloudInit");
    return source;
  };

  it("has its data inline, and who the guest is", () => {
    assert.deepEqual(sourceOf({ cloudInitConfigDrive: { userData: "#cloud-config\n" } }), {
      kind: "cloudInit",
      format: "configDrive",
      path: "/run/virtpod/runtime/images/d.iso",
      userData: { text: "#cloud-config\n" },
      instanceId: noCloud({ userData: "x" }).instanceId,
      hostname: "tiny",
    });
    assert.equal(noCloud({ userData: "x" }).format, "noCloud");
  });

  it("has the Base64 that it is given decoded, line ends or not", () => {
    const { userData, networkData } = noCloud({
      userDataBase64: "SGVs\nbG8s\r\nIHfDtnJsZA==",
      networkDataBase64: "e30=",
    });
    assert.deepEqual([userData, networkData], [{ text: "Hello, wörld" }, { text: "{}" }]);
  });

  it("has more than 2048 bytes only from a Secret, read where each is mounted", () => {
    const long = "ö".repeat(1025);
    assert.throws(() => noCloud({ userData: long }), /has 2050 bytes, more than the 2048/);
    const base64 = Buffer.from(long).toString("base64");
    assert.throws(() => noCloud({ networkDataBase64: base64 }), /networkData has 2050 bytes/);
    const { userData, networkData } = noCloud({
      secretRef: { name: "s" },
      networkDataSecretRef: { name: "s" },
    });
    assert.deepEqual(userData, {
      directory: "/run/virtpod/volumes/d/userdata",
      keys: ["userdata", "userData"],
    });
    assert.deepEqual(networkData, {
      directory: "/run/virtpod/volumes/d/networkdata",
      keys: ["networkdata", "networkData"],
    });
  });

  it("may be binary, such as gzip, but not what only looks like Base64", () => {
    assert.deepEqual(noCloud({ userDataBase64: "H4sI\n/w==" }).userData, { base64: "H4sI/w==" });
    assert.throws(() => noCloud({ userDataBase64: "a=b" }), /userDataBase64 is not Base64/);
  });
});

describe("disks on the node's disk", () => {
  const resolved = (limit: string, medium?: "Memory") => {
    const resources = { limits: { "ephemeral-storage": limit } };
    const emptyDisk = { capacity: "1Gi", ...(medium === undefined ? {} : { medium }) };
    return resolve({ emptyDisk }, {}, {}, { resources }).name;
  };

  it("are refused where the pod's limit can't hold them: a full disk would be an evicted VM", () => {
    assert.throws(() => resolved("1Gi"), /more than limits.ephemeral-storage, 1Gi/);
    assert.equal(resolved("1025Mi"), "d");
    assert.equal(resolved("1Mi", "Memory"), "d");
  });
});

describe("files of the cluster", () => {
  it("are an image with KubeVirt's labels, or the label asked for", () => {
    const image = {
      kind: "files",
      directory: "/run/virtpod/volumes/d",
      path: "/run/virtpod/runtime/images/d.iso",
    };
    const cases: readonly (readonly [Source, object])[] = [
      [{ configMap: { name: "c" } }, { volumeLabel: "cfgdata" }],
      [{ secret: { secretName: "s", volumeLabel: "keys" } }, { volumeLabel: "keys" }],
      [{ serviceAccount: { serviceAccountName: "a" } }, { volumeLabel: "cfgdata" }],
      [
        {
          downwardAPI: {
            fields: [{ path: "n", fieldRef: { fieldPath: "metadata.name" } }],
            volumeLabel: "me",
          },
        },
        { volumeLabel: "me" },
      ],
      [{ sysprep: { secret: { name: "s" } } }, { volumeLabel: "unattendCD", sysprep: true }],
    ];
    for (const [source, more] of cases) assert.deepEqual(sourceOf(source), { ...image, ...more });
  });
});

describe("how the guest sees a disk", () => {
  const empty = { emptyDisk: { capacity: "1Gi" } };
  const seen = (disk: Omit<Disk, "name">, devices?: object, domain?: object) => {
    const { source: _, name: __, ...rest } = resolve(empty, disk, devices, domain);
    return rest;
  };

  it("has KubeVirt's defaults", () => {
    assert.deepEqual(seen({}), { device: "disk", bus: "sata", readonly: false });
    assert.deepEqual(seen({ cdrom: {} }), { device: "cdrom", bus: "sata", readonly: true });
    const { device, bus } = resolve({ persistentVolumeClaim: { claimName: "raw" } }, { lun: {} });
    assert.deepEqual([device, bus], ["lun", "scsi"]);
  });

  it("has what the spec says, and nothing for what asks for nothing", () => {
    const told = {
      bootOrder: 1,
      serial: "s",
      cache: "none",
      io: "native",
      errorPolicy: "report",
      shareable: true,
    } as const;
    const blockSize = { logical: 512, physical: 4096 };
    assert.deepEqual(seen({ ...told, disk: { bus: "virtio" }, blockSize: { custom: blockSize } }), {
      ...told,
      blockSize,
      device: "disk",
      readonly: false,
      bus: "virtio",
    });
    const nothing = {
      shareable: false,
      dedicatedIOThread: false,
      blockSize: { matchVolume: { enabled: false } },
    };
    assert.deepEqual(seen(nothing), seen({}));
    assert.equal(seen({ blockSize: { matchVolume: {} } }).blockSize, "matchVolume");
  });

  it("has a queue per vCPU, 16 at most, on virtio alone", () => {
    const queues = (bus: "virtio" | "scsi", cores: number) =>
      seen({ disk: { bus } }, { blockMultiQueue: true }, { cpu: { cores } }).queues;
    assert.deepEqual([queues("virtio", 4), queues("virtio", 64), queues("scsi", 4)], [4, 16, undefined]);
  });

  it("has an I/O thread of the domain's", () => {
    assert.equal(seen({ disk: { bus: "virtio" }, dedicatedIOThread: true }).ioThread, 1);
    assert.equal(seen({ disk: { bus: "virtio" } }, {}, { ioThreadsPolicy: "auto" }).ioThread, 1);
  });
});
