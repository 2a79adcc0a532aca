import assert from "node:assert/strict";
import { test } from "node:test";
import { configuration, embed, GrubError, sectorSize } from "./grub.ts";
import { biosBoot, kernelArguments } from "./recipe.ts";

/** A core image as grub-mkimage makes it: its first sector ends with a list of the others. */
function core(sectors: number): Buffer {
  const image = Buffer.alloc(sectors * sectorSize, 0xab);
  image.writeUInt16LE(sectors - 1, sectorSize - 4);
  return image;
}
const boot = Buffer.alloc(sectorSize, 0xcd);

test("the boot code names the core's first sector, and the core's first sector its second", () => {
  const placed = embed(boot, core(200), biosBoot);
  const first = BigInt(biosBoot.start / sectorSize);
  assert.equal(placed.bootCode.readBigUInt64LE(0x5c), first);
  assert.equal(placed.core.readBigUInt64LE(sectorSize - 12), first + 1n);
  assert.equal(placed.core.readUInt16LE(sectorSize - 4), 199);
});

test("the boot code leaves the disk's signature and partition table alone", () => {
  assert.equal(embed(boot, core(2), biosBoot).bootCode.length, 440);
});

test("embedding changes nothing but the two places", () => {
  const before = core(3);
  const after = embed(boot, before, biosBoot).core;
  const changed = [...after.keys()].filter((at) => after[at] !== before[at]);
  assert.ok(changed.length > 0);
  assert.ok(changed.every((at) => at >= sectorSize - 12 && at < sectorSize - 4));
});

test("a core that the partition does not hold is refused", () => {
  assert.throws(() => embed(boot, core(biosBoot.size / sectorSize + 1), biosBoot), GrubError);
});

test("what is no core image for a BIOS is refused", () => {
  assert.throws(() => embed(boot, Buffer.alloc(4 * sectorSize), biosBoot), GrubError);
  assert.throws(() => embed(boot, Buffer.alloc(sectorSize), biosBoot), GrubError);
  assert.throws(() => embed(Buffer.alloc(511), core(2), biosBoot), GrubError);
});

test("both firmwares start the newest kernel with the same arguments", () => {
  assert.match(configuration, /linux \/vmlinuz root=PARTUUID=/);
  assert.ok(configuration.includes(kernelArguments.join(" ")));
});
