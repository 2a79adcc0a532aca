/** Disks without room: what fills its own stays within it, and a guest whose volume is full waits until it isn't. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { parseQuantity } from "../../lib/quantity.ts";
import { capture } from "../harness/command.ts";
import { ask, condition, diskName, Guests } from "../harness/guest.ts";
import { createClaim, MIB, tinyWithDisks, volumePath } from "../harness/storage.ts";

interface Load {
  readonly bytes: number;
}

describe("a disk without room", { concurrency: 1 }, () => {
  let guests: Guests;
  before(async () => {
    guests = await Guests.open("storage-full");
  });
  after(() => guests.close());

  it("pauses its guest with a condition and an event, and the guest goes on when there is room", async () => {
    await createClaim(guests.client, guests.namespace, "small", { size: "64Mi" });
    await guests.create(
      "fills",
      tinyWithDisks([{ volume: { name: "data", persistentVolumeClaim: { claimName: "small" } } }]),
    );
    const { address } = await guests.answering("fills", 120_000);
    const dev = await diskName(address, "data");

    const ballast = `${await volumePath(guests.client, guests.namespace, "small")}/ballast`;
    // Until the file system refuses: dd ends with an error when it has taken the last block.
    capture("./cluster/enter", ["sh", "-c", `! dd if=/dev/zero of=${ballast} bs=64K && sync ${ballast}`]);
    const write = ask<Load>(address, `/disk-load?dev=${dev}&kind=write&seconds=5`, 180_000);
    const paused = await guests.untilStatus("fills", "Paused", 60_000);
    assert.equal(condition(paused, "Paused")?.reason, "PausedIOError");
    assert.match(condition(paused, "Paused")?.message ?? "", /disk data: no room is left/);
    await guests.untilEvent("fills", "PausedIOError", /disk data: no room is left/, 60_000);

    capture("./cluster/enter", ["rm", ballast]);
    await guests.untilStatus("fills", "Running", 90_000);
    // The guest never knew: its writes have taken long, and that is all.
    assert.ok((await write).bytes >= MIB);
    await ask(address, `/disk-write?dev=${dev}&data=last`);
    assert.deepEqual(await ask(address, `/disk-read?dev=${dev}`), { dev, data: "last" });
    await guests.remove("fills");
  });

  it("that is its own limit takes all of its capacity, within what the kubelet allows its volume", async () => {
    await guests.create(
      "whole",
      tinyWithDisks([
        { volume: { name: "disk", emptyDisk: { capacity: "64Mi" } } },
        { volume: { name: "memory", emptyDisk: { capacity: "32Mi", medium: "Memory" } } },
      ]),
    );
    const { address, pod } = await guests.answering("whole", 120_000);
    for (const [index, name, mebibytes] of [
      [0, "disk", 64],
      [1, "memory", 32],
    ] as const) {
      const dev = await diskName(address, name);
      const bytes = await written(address, dev, mebibytes * MIB);
      assert.ok(bytes >= mebibytes * MIB, `${bytes} bytes are not all of ${name}`);
      const limit = parseQuantity(
        pod.spec.volumes?.find((volume) => volume.name === `volume-${index}`)?.emptyDir?.sizeLimit ?? "0",
      );
      const folder = `/var/lib/kubelet/pods/${pod.metadata.uid}/volumes/kubernetes.io~empty-dir/volume-${index}`;
      const used = Number(
        capture("./cluster/enter", ["du", "--block-size=1", "--summarize", folder]).split("\t")[0],
      );
      assert.ok(used >= mebibytes * MIB && used <= limit, `${name} takes ${used} bytes of ${limit}`);
    }
    await guests.remove("whole");
  });
});

/** Writes in order from the disk's begin until so much is written, for longer each time: a busy machine is slow. */
async function written(address: string, dev: string, wanted: number): Promise<number> {
  for (let seconds = 5; ; seconds *= 2) {
    const path = `/disk-load?dev=${dev}&kind=write&seconds=${seconds}`;
    const { bytes } = await ask<Load>(address, path, 180_000);
    if (bytes >= wanted || seconds >= 40) return bytes;
  }
}
