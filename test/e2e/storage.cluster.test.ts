/** Every kind of volume and every knob of a disk, as a Debian guest finds them. docs/storage.md lists these tests. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { CONFIG_MAPS, SECRETS } from "../../kube/resources.ts";
import { VIRTUAL_MACHINE_INSTANCES } from "../../operator/kinds.ts";
import { capture } from "../harness/command.ts";
import { booted, debian, root, userData } from "../harness/debian.ts";
import { ask, diskName, Guests } from "../harness/guest.ts";
import { processesOf } from "../harness/node.ts";
import { Ssh, SshKey } from "../harness/ssh.ts";
import {
  createClaim,
  type GuestDisk,
  loadDebianImage,
  MIB,
  tinyWithDisks,
  volumePath,
} from "../harness/storage.ts";

const USER = "tester";
/** The most that a Secret may hold. */
const LARGEST = Buffer.alloc(MIB - 64, "virtpod ");

interface BlockDevice {
  readonly name: string;
  readonly serial: string | null;
  readonly label: string | null;
  readonly size: number;
  readonly ro: boolean;
  readonly "log-sec": number;
  readonly "phy-sec": number;
  readonly tran: string | null;
  readonly type: string;
}

const claim = (name: string) => ({ name, persistentVolumeClaim: { claimName: name } });
const sha256 = (data: Buffer) => createHash("sha256").update(data).digest("hex");

/** As wide a choice of buses and knobs as one VM can have; the serial number is the name where none is given. */
const DISKS: readonly GuestDisk[] = [
  root,
  {
    volume: {
      name: "seed",
      cloudInitNoCloud: { secretRef: { name: "user-data" }, networkDataSecretRef: { name: "network-data" } },
    },
    disk: { cdrom: { bus: "sata" } },
  },
  {
    volume: {
      name: "drive",
      cloudInitConfigDrive: { secretRef: { name: "largest" }, networkData: "version: 2\n" },
    },
    disk: { disk: { bus: "virtio", readonly: true } },
  },
  { volume: { name: "empty", emptyDisk: { capacity: "64Mi" } }, disk: { cache: "writethrough" } },
  {
    volume: { name: "memory", emptyDisk: { capacity: "32Mi", medium: "Memory" } },
    disk: { disk: { bus: "scsi" } },
  },
  {
    volume: claim("file"),
    disk: { blockSize: { custom: { logical: 4096, physical: 4096 } }, dedicatedIOThread: true },
  },
  { volume: claim("block"), disk: { io: "native", blockSize: { matchVolume: {} } } },
  {
    volume: { name: "kept", ephemeral: { persistentVolumeClaim: { claimName: "kept" } } },
    disk: { disk: { bus: "sata" } },
  },
  { volume: { name: "settings", configMap: { name: "settings", volumeLabel: "SETTINGS" } }, disk: null },
  { volume: { name: "largest", secret: { secretName: "largest" } } },
  {
    volume: {
      name: "fields",
      downwardAPI: {
        fields: [
          { path: "labels/app", fieldRef: { fieldPath: "metadata.labels['app']" } },
          { path: "namespace", fieldRef: { fieldPath: "metadata.namespace" } },
        ],
        volumeLabel: "fields",
      },
    },
    disk: { cdrom: { bus: "scsi" } },
  },
  {
    volume: { name: "answers", sysprep: { configMap: { name: "answers" } } },
    disk: { cdrom: { bus: "sata" } },
  },
  { volume: { name: "stick", emptyDisk: { capacity: "16Mi" } }, disk: { disk: { bus: "usb" } } },
];

/** What stands 1 MiB into a file or device of the node, where the tests write. */
function atNode(path: string): string {
  const dd = ["dd", `if=${path}`, "bs=4096", "skip=256", "count=1", "iflag=direct", "status=none"];
  return capture("./cluster/enter", dd).replaceAll("\0", "").trim();
}

/** The command line of the pod's qemu. */
function qemuArguments(podUid: string): string {
  const qemu = processesOf(podUid).find(({ program }) => program.startsWith("qemu-system"));
  return readFileSync(`/proc/${qemu?.pid}/cmdline`, "utf8").replaceAll("\0", " ");
}

describe("the disks of a Debian guest", { concurrency: 1 }, () => {
  const key = new SshKey();
  let guests: Guests;
  let ssh: Ssh;
  let devices: readonly BlockDevice[];

  before(async () => {
    loadDebianImage();
    guests = await Guests.open("storage");
    await makeSources();
    await guests.create("debian", {
      ...debian(DISKS, { cpu: { sockets: 2 }, devices: { blockMultiQueue: true } }, { hostname: "storage" }),
      labels: { app: "of-the-disks" },
    });
    const { address } = await booted(guests, "debian");
    ssh = new Ssh(key, USER, address);
    await ssh.run("udevadm settle");
    const columns = "NAME,SERIAL,LABEL,SIZE,RO,LOG-SEC,PHY-SEC,TRAN,TYPE";
    ({ blockdevices: devices } = await ssh.json<{ blockdevices: readonly BlockDevice[] }>(
      `lsblk --json --bytes --nodeps --output ${columns}`,
    ));
  });
  after(async () => {
    await ssh?.close().catch(() => {});
    key.remove();
    await guests.close();
  });

  async function makeSources(): Promise<void> {
    const { namespace } = guests;
    const secrets = guests.resource(SECRETS);
    const configMaps = guests.resource(CONFIG_MAPS);
    // Of an interface that the guest lacks: what cloud-init makes of it shows, and the lease stays as it is.
    const networkData = "version: 2\nethernets:\n  proof: {mtu: 1234}\n";
    await secrets.create({
      metadata: { name: "user-data" },
      stringData: { userdata: userData(USER, key.publicKey) },
    });
    await secrets.create({ metadata: { name: "network-data" }, stringData: { networkdata: networkData } });
    await secrets.create({ metadata: { name: "largest" }, data: { userdata: LARGEST.toString("base64") } });
    await configMaps.create({ metadata: { name: "settings" }, data: { "a.conf": "colour = blue\n" } });
    await configMaps.create({ metadata: { name: "answers" }, data: { "autounattend.xml": "<unattend/>" } });
    await createClaim(guests.client, namespace, "file", { size: "128Mi" });
    await createClaim(guests.client, namespace, "block", { size: "64Mi", volumeMode: "Block" });
    await makeKeptDisk();
  }

  /** A claim with a disk in it, for the ephemeral volume. */
  async function makeKeptDisk(): Promise<void> {
    await createClaim(guests.client, guests.namespace, "kept", { size: "64Mi" });
    await guests.create("maker", tinyWithDisks([{ volume: claim("kept") }]));
    const { address } = await guests.answering("maker", 120_000);
    await ask(address, `/disk-write?dev=${await diskName(address, "kept")}&data=kept`);
    await guests.remove("maker");
  }

  /** As the guest sees a disk, by its serial number or its image's label. */
  function device(of: { readonly serial: string } | { readonly label: string }): BlockDevice {
    const [name, value] = "serial" in of ? (["serial", of.serial] as const) : (["label", of.label] as const);
    const found = devices.find((one) => one[name] === value);
    assert.ok(found, `no disk of ${name} ${value} in ${JSON.stringify(devices)}`);
    return found;
  }

  /** What stands 1 MiB into a disk, where the test guest writes. */
  const text = async (name: string) =>
    (
      await ssh.run(`dd if=/dev/${name} bs=4096 skip=256 count=1 iflag=direct status=none | tr -d '\\0'`)
    ).trim();
  const write = (name: string, data: string) =>
    ssh.run(
      `printf %-4096s ${data} | dd of=/dev/${name} bs=4096 seek=256 count=1 oflag=direct conv=fsync,notrunc iflag=fullblock status=none`,
    );
  /** Files of an image and what they hold, by path. */
  const files = async (name: string) => {
    const script = `mount -o ro /dev/${name} /mnt; cd /mnt; find . -type f -exec sha256sum {} +; cd /; umount /mnt`;
    const lines = (await ssh.run(script)).trim().split("\n");
    return new Map(lines.map((line) => [line.slice(68), line.slice(0, 64)] as const));
  };

  it("the guest boots from a containerDisk of 2 GiB by its BIOS, and may write it", async () => {
    assert.equal(device({ serial: "root" }).size, 2048 * MIB);
    const source = await ssh.run(
      "findmnt --noheadings --output SOURCE / ; touch /written; [ ! -e /sys/firmware/efi ]",
    );
    assert.match(source, new RegExp(`/dev/${device({ serial: "root" }).name}`));
  });

  it("cloudInitNoCloud: cloud-init took user and network data from its Secrets, and the VM's name", async () => {
    const result = await ssh.json<{ v1: { datasource: string; errors: string[] } }>(
      "cat /run/cloud-init/result.json",
    );
    assert.match(result.v1.datasource, /^DataSourceNoCloud \[seed=\/dev\//);
    assert.deepEqual(result.v1.errors, []);
    const instance = (await ssh.run("cat /run/cloud-init/.instance-id")).trim();
    const uuid = (await ssh.run("cat /sys/class/dmi/id/product_uuid")).trim().toLowerCase();
    assert.equal(instance.toLowerCase(), uuid);
    assert.equal((await ssh.run("hostname")).trim(), "storage");
    assert.match(await ssh.run("cat /etc/systemd/network/*-proof.*"), /MTUBytes=1234/);
    assert.equal(device({ label: "cidata" }).type, "rom");
  });

  it("cloudInitConfigDrive: an image labelled config-2 with user data at a Secret's limit", async () => {
    const found = await files(device({ label: "config-2" }).name);
    assert.equal(found.get("openstack/latest/user_data"), sha256(LARGEST));
    for (const file of ["meta_data.json", "network_data.json"]) {
      assert.ok([...found.keys()].includes(`openstack/latest/${file}`), [...found.keys()].join(" "));
    }
  });

  it("emptyDisk on the node's disk and in memory: of its capacity, written and read", async () => {
    assert.deepEqual(
      [device({ serial: "empty" }).size, device({ serial: "memory" }).size],
      [64 * MIB, 32 * MIB],
    );
    for (const serial of ["empty", "memory"]) {
      const { name } = device({ serial });
      await ssh.run(
        `mkfs.ext4 -q /dev/${name}; mount /dev/${name} /mnt; echo ${serial} >/mnt/file; umount /mnt`,
      );
      assert.equal(await ssh.run(`mount /dev/${name} /mnt; cat /mnt/file; umount /mnt`), `${serial}\n`);
    }
  });

  it("persistentVolumeClaim of volumeMode Filesystem: disk.img in the claim, which keeps what is written", async () => {
    const { name, size } = device({ serial: "file" });
    // Ten per cent may be missing: the file system's own tables.
    assert.ok(size <= 128 * MIB && size >= 0.9 * 128 * MIB, String(size));
    await write(name, "in-a-file");
    const image = `${await volumePath(guests.client, guests.namespace, "file")}/disk.img`;
    assert.equal(atNode(image), "in-a-file");
  });

  it("persistentVolumeClaim of volumeMode Block: the device itself", async () => {
    const { name, size } = device({ serial: "block" });
    assert.equal(size, 64 * MIB);
    await write(name, "on-a-device");
    assert.equal(atNode(await volumePath(guests.client, guests.namespace, "block")), "on-a-device");
  });

  it("ephemeral: reads what the claim holds, and leaves the claim as it is", async () => {
    const { name, tran } = device({ serial: "kept" });
    assert.equal(tran, "sata");
    assert.equal(await text(name), "virtpod-disk:kept");
    await write(name, "overlaid");
    assert.equal(await text(name), "overlaid");
    const image = `${await volumePath(guests.client, guests.namespace, "kept")}/disk.img`;
    assert.equal(atNode(image), "virtpod-disk:kept");
  });

  it("configMap: one file per key, under the label that was asked for", async () => {
    const found = await files(device({ label: "SETTINGS" }).name);
    assert.equal(found.get("a.conf"), sha256(Buffer.from("colour = blue\n")));
  });

  it("secret: a file of the largest size that a Secret can have", async () => {
    const found = await files(device({ serial: "largest" }).name);
    assert.deepEqual(Object.fromEntries(found), { userdata: sha256(LARGEST) });
    assert.equal(device({ serial: "largest" }).label, "cfgdata");
  });

  it("downwardAPI: labels and names of the launcher pod", async () => {
    const { name, type } = device({ label: "fields" });
    assert.equal(type, "rom");
    assert.deepEqual(Object.fromEntries(await files(name)), {
      "labels/app": sha256(Buffer.from("of-the-disks")),
      namespace: sha256(Buffer.from(guests.namespace)),
    });
  });

  it("sysprep: the answer file, under the label that Windows Setup is given", async () => {
    const found = await files(device({ label: "unattendCD" }).name);
    assert.deepEqual(Object.fromEntries(found), { "autounattend.xml": sha256(Buffer.from("<unattend/>")) });
  });

  it("bus: virtio, sata, scsi and usb, as disk and as cdrom", () => {
    const buses = Object.fromEntries(
      ["empty", "memory", "kept", "stick"].map((serial) => [serial, device({ serial }).tran]),
    );
    assert.equal(buses["empty"], "virtio");
    assert.equal(buses["kept"], "sata");
    assert.equal(buses["stick"], "usb");
    // lsblk knows no transport of virtio-scsi.
    assert.match(device({ serial: "memory" }).name, /^sd/);
  });

  it("no disk is listed: a volume is shown on sata, and its VMI lists the disk", async () => {
    assert.equal(device({ label: "SETTINGS" }).tran, "sata");
    const { spec } = await guests.resource(VIRTUAL_MACHINE_INSTANCES).get("debian");
    assert.deepEqual(spec.domain.devices.disks?.at(-1), { name: "settings", disk: { bus: "sata" } });
  });

  it("blockSize: what was asked for, and what the volume has", () => {
    const sizes = (serial: string) => {
      const { "log-sec": logical, "phy-sec": physical } = device({ serial });
      return { logical, physical };
    };
    assert.deepEqual(sizes("file"), { logical: 4096, physical: 4096 });
    assert.deepEqual(sizes("block"), { logical: 512, physical: 512 });
    assert.deepEqual(sizes("empty"), { logical: 512, physical: 512 });
  });

  it("readonly: the guest can't write", async () => {
    const { name, ro } = device({ label: "config-2" });
    assert.equal(ro, true);
    await assert.rejects(write(name, "no"), /Read-only|not permitted/);
    assert.equal(device({ serial: "empty" }).ro, false);
  });

  it("blockMultiQueue: a queue per vCPU on virtio", async () => {
    const count = await ssh.run(`ls /sys/block/${device({ serial: "empty" }).name}/mq | wc -l`);
    assert.equal(count.trim(), "2");
  });

  it("cache and discard: a guest flushes what may be cached, and gives back what it frees", async () => {
    const attribute = async (serial: string, name: string) =>
      (await ssh.run(`cat /sys/block/${device({ serial }).name}/queue/${name}`)).trim();
    assert.equal(await attribute("empty", "write_cache"), "write through");
    assert.equal(await attribute("file", "write_cache"), "write back");
    assert.notEqual(await attribute("empty", "discard_max_bytes"), "0");
  });

  it("cache, io and dedicatedIOThread: as qemu was told", async () => {
    const pod = await guests.pod("debian");
    const qemu = qemuArguments(pod.metadata.uid);
    assert.match(qemu, /"iothread":"iothread\d+"/);
    assert.match(
      qemu,
      /"filename":"\/dev\/virtpod\/block"[^}]*"aio":"native"|"aio":"native"[^}]*"filename":"\/dev\/virtpod\/block"/,
    );
  });
});
