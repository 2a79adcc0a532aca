/** Volumes that can't be had as they are asked for: each refused or waited for with a sentence that says what to do. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { SECRETS } from "../../kube/resources.ts";
import { type Changes, condition, diskName, Guests } from "../harness/guest.ts";
import { createClaim, type GuestDisk, loadImage, MIB, tinyWithDisks } from "../harness/storage.ts";

const STATUS_MS = 90_000;
const IMAGE = "localhost/virtpod/test-disks:1";

/** A qcow2 version 3 header as QEMU's docs/interop/qcow2.rst has it, of a disk of 1 MiB. */
function qcow2Header(change: (header: Buffer) => void): Buffer {
  const header = Buffer.alloc(65_536);
  header.write("QFI\xfb", 0, "latin1");
  header.writeUInt32BE(3, 4);
  header.writeUInt32BE(16, 20);
  header.writeBigUInt64BE(BigInt(MIB), 24);
  header.writeUInt32BE(104, 100);
  change(header);
  return header;
}

const SECRET_FILE = "/run/virtpod/runtime/secret";
const FILES = {
  "disk/a.img": Buffer.alloc(MIB),
  "disk/b.img": Buffer.alloc(MIB),
  "backing.qcow2": qcow2Header((header) => {
    header.writeBigUInt64BE(1024n, 8);
    header.writeUInt32BE(SECRET_FILE.length, 16);
    header.write(SECRET_FILE, 1024, "latin1");
  }),
  // Incompatible feature 2: the data is in another file.
  "data-file.qcow2": qcow2Header((header) => header.writeBigUInt64BE(4n, 72)),
  "truncated.qcow2": qcow2Header(() => {}).subarray(0, 60),
  "oversized.qcow2": qcow2Header((header) => header.writeBigUInt64BE(1n << 62n, 24)),
  "empty.img": Buffer.alloc(0),
  "outside.img": { link: "../../../etc/passwd" },
} as const;

describe("a volume that can't be had", { concurrency: 3 }, () => {
  let guests: Guests;
  before(async () => {
    loadImage(IMAGE, FILES);
    guests = await Guests.open("storage-input");
  });
  after(() => guests.close());

  const claimed = (claimName: string): GuestDisk => ({
    volume: { name: "data", persistentVolumeClaim: { claimName } },
  });
  const create = (name: string, disks: readonly GuestDisk[], changes?: Changes) =>
    guests.create(name, tinyWithDisks(disks, changes));
  const running = (name: string) =>
    guests.untilVmi(name, "phase Running", STATUS_MS, ({ status }) => status?.phase === "Running");

  describe("of a claim", { concurrency: 3 }, () => {
    it("that is missing: says so, and starts as soon as the claim is made", async () => {
      await create("no-claim", [claimed("late")]);
      const vm = await guests.untilStatus("no-claim", "ErrorPvcNotFound", STATUS_MS);
      assert.match(
        condition(vm, "Synchronized")?.message ?? "",
        /PersistentVolumeClaim late is missing: create it/,
      );
      await createClaim(guests.client, guests.namespace, "late", { size: "64Mi" });
      await running("no-claim");
      await guests.remove("no-claim");
    });

    it("that nobody binds: waits and says which claim it is, and can be deleted at once", async () => {
      await createClaim(guests.client, guests.namespace, "unbound", {
        size: "64Mi",
        storageClassName: "nobody-serves-this",
      });
      await create("pending", [claimed("unbound")]);
      const vm = await guests.untilVm("pending", "a word about the claim", STATUS_MS, (seen) =>
        /PersistentVolumeClaim unbound|unbound immediate/.test(JSON.stringify(seen.status?.conditions)),
      );
      assert.match(vm.status?.printableStatus ?? "", /^(WaitingForVolumeBinding|ErrorUnschedulable)$/);
      await guests.remove("pending");
    });

    it("that may only be read, for a disk that is written: says which access mode is wrong", async () => {
      await createClaim(guests.client, guests.namespace, "read-only", {
        size: "64Mi",
        accessModes: ["ReadOnlyMany"],
      });
      await create("writes", [claimed("read-only")]);
      const vm = await guests.untilVm("writes", "a refusal", STATUS_MS, (seen) =>
        /ReadOnlyMany/.test(condition(seen, "Synchronized")?.message ?? ""),
      );
      assert.equal(condition(vm, "Synchronized")?.reason, "FailedPvcAccessMode");
      await guests.remove("writes");
    });

    it("that holds no disk, for an ephemeral volume: says what is missing", async () => {
      await createClaim(guests.client, guests.namespace, "bare", { size: "64Mi" });
      const volume = { name: "data", ephemeral: { persistentVolumeClaim: { claimName: "bare" } } };
      await create("no-disk-in-claim", [{ volume }]);
      await tellsFailure("no-disk-in-claim", /disk\.img/);
      await guests.remove("no-disk-in-claim");
    });
  });

  describe("of a containerDisk", { concurrency: 2 }, () => {
    const refusals: readonly (readonly [claim: string, path: string | undefined, words: RegExp])[] = [
      ["with two disks where one is looked for", undefined, /has 2 files in \/disk; name the path of one/],
      [
        "whose header names a backing file of the launcher's",
        "/backing.qcow2",
        /has a backing file: flatten it/,
      ],
      ["whose data is in another file", "/data-file.qcow2", /keeps its data in another file/],
      ["whose header is cut short", "/truncated.qcow2", /header/],
      ["that says it holds 4 EiB", "/oversized.qcow2", /says that it holds|bytes|TiB/],
      ["that is empty", "/empty.img", /is empty/],
      ["that is a link out of the image", "/outside.img", /leads out of its image|cannot be opened/],
    ];
    for (const [index, [claim, path, words]] of refusals.entries()) {
      it(`${claim}: is refused`, async () => {
        const name = `image-${index}`;
        const containerDisk = { image: IMAGE, ...(path === undefined ? {} : { path }) };
        await create(name, [{ volume: { name: "root", containerDisk } }]);
        await tellsFailure(name, words);
        await guests.remove(name);
      });
    }
  });

  describe("by its fields alone", { concurrency: 1 }, () => {
    const refused: readonly (readonly [claim: string, volume: GuestDisk["volume"], words: RegExp])[] = [
      ["an emptyDisk of capacity 0", { name: "data", emptyDisk: { capacity: "0" } }, /capacity/],
      [
        "cloud-init user data of 2049 bytes",
        { name: "data", cloudInitNoCloud: { userData: `#cloud-config\n#${"x".repeat(2034)}` } },
        /2048/,
      ],
      [
        "a hostDisk, unless the installation allows it",
        { name: "data", hostDisk: { path: "/etc/passwd", type: "Disk" } },
        /allowHostDisk/,
      ],
      [
        "a serviceAccount, unless the installation allows it",
        { name: "data", serviceAccount: { serviceAccountName: "default" } },
        /allowServiceAccountDisk/,
      ],
    ];
    for (const [index, [claim, volume, words]] of refused.entries()) {
      it(`${claim}: is refused when it is created`, async () => {
        await assert.rejects(create(`refused-${index}`, [{ volume }]), (error: unknown) => {
          assert.ok(error instanceof Error, String(error));
          assert.match(error.message, words);
          return true;
        });
      });
    }
  });

  it("a cloud-init Secret that is missing is waited for, and the guest starts when it appears", async () => {
    const volume = { name: "seed", cloudInitNoCloud: { secretRef: { name: "late-secret" } } };
    await create("no-secret", [{ volume }]);
    await guests.untilVm("no-secret", "a word about the Secret", STATUS_MS, (vm) =>
      /late-secret/.test(JSON.stringify(vm.status?.conditions)),
    );
    await guests
      .resource(SECRETS)
      .create({ metadata: { name: "late-secret" }, stringData: { userdata: "#cloud-config\n" } });
    // The kubelet tries a mount again after two minutes at most.
    await guests.untilVmi("no-secret", "phase Running", 150_000, ({ status }) => status?.phase === "Running");
    await guests.remove("no-secret");
  });

  it("an optional ConfigMap that is missing does not keep the guest from starting", async () => {
    const volume = { name: "settings", configMap: { name: "nowhere", optional: true } };
    await create("optional", [{ volume }]);
    const { address } = await guests.answering("optional", STATUS_MS);
    await diskName(address, "settings");
    await guests.remove("optional");
  });

  async function tellsFailure(name: string, words: RegExp): Promise<void> {
    const vm = await guests.untilVm(name, `a failure that says ${words}`, STATUS_MS, (seen) =>
      words.test(condition(seen, "Failure")?.message ?? ""),
    );
    assert.equal(vm.status?.printableStatus, "CrashLoopBackOff");
  }
});
