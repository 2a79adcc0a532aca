import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Disk } from "../../api/disks.ts";
import { instance } from "./instance.fixture.ts";
import { assignIoThreads } from "./io-threads.ts";

type Policy = "shared" | "auto" | undefined;

function assign(policy: Policy, disks: readonly Disk[], vcpus = 1) {
  const ioThreadsPolicy = policy === undefined ? {} : { ioThreadsPolicy: policy };
  return assignIoThreads(instance({ domain: { devices: { disks }, ...ioThreadsPolicy } }).spec, vcpus);
}

const virtio = (name: string): Disk => ({ name, disk: { bus: "virtio" } });
const own = (name: string): Disk => ({ ...virtio(name), dedicatedIOThread: true });

describe("I/O threads", () => {
  it("are none unless they are asked for, and none without a virtio disk", () => {
    assert.equal(assign(undefined, [virtio("a")]).count, 0);
    assert.equal(assign("auto", [{ name: "a", disk: { bus: "sata" } }, { name: "b" }]).count, 0);
  });

  it("are one for all disks where they are shared", () => {
    const { count, byDisk } = assign("shared", [virtio("a"), virtio("b")]);
    assert.deepEqual(
      [count, [...byDisk]],
      [
        1,
        [
          ["a", 1],
          ["b", 1],
        ],
      ],
    );
  });

  it("come one for itself to each disk that asks, beside the others'", () => {
    const { count, byDisk } = assign(undefined, [own("a"), virtio("b"), own("c"), virtio("d")]);
    assert.deepEqual(
      [count, [...byDisk]],
      [
        3,
        [
          ["a", 2],
          ["b", 1],
          ["c", 3],
          ["d", 1],
        ],
      ],
    );
    assert.deepEqual(assign(undefined, [own("a")]).count, 1);
  });

  it("with auto are one per disk, at most two per vCPU, taken in turn", () => {
    assert.deepEqual([...assign("auto", ["a", "b", "c"].map(virtio)).byDisk.values()], [1, 2, 1]);
    assert.equal(assign("auto", ["a", "b", "c"].map(virtio), 2).count, 3);
  });

  it("all serve a disk, and no disk has one that isn't there", () => {
    const disks = fc.array(fc.boolean(), { maxLength: 12 });
    fc.assert(
      fc.property(
        disks,
        fc.constantFrom<Policy>("shared", "auto", undefined),
        fc.integer({ min: 1, max: 4 }),
        (kinds, policy, vcpus) => {
          const { count, byDisk } = assign(
            policy,
            kinds.map((isOwn, index) => (isOwn ? own : virtio)(`d${index}`)),
            vcpus,
          );
          const used = new Set(byDisk.values());
          assert.deepEqual(
            [...used].sort((a, b) => a - b),
            Array.from({ length: count }, (_, index) => index + 1),
          );
        },
      ),
    );
  });
});
