import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { LaunchCpu } from "../../api/launch-spec.ts";
import { type HostCpus, planPinning } from "./pinning.ts";

const NODE = "node-1";

const cpu = (cores: number, threads = 1): LaunchCpu => ({ sockets: 1, cores, threads, model: "host-model" });

/** CPUs of `cores`, each the list of its threads, all of which are online; those of `allowed` are the launcher's. */
function host(allowed: readonly number[], cores: readonly (readonly number[])[]): HostCpus {
  return {
    allowed: new Set(allowed),
    online: new Set(cores.flat()),
    siblings: new Map(
      cores.flatMap((threads) => threads.map((thread): [number, Set<number>] => [thread, new Set(threads)])),
    ),
  };
}

const FOUR_CORES = [
  [0, 4],
  [1, 5],
  [2, 6],
  [3, 7],
];
const shared = { isolateEmulatorThread: false };
const isolated = { isolateEmulatorThread: true };

describe("the pinning of a domain with dedicated CPUs", () => {
  it("gives each vCPU one of them, and the other threads all", () => {
    const pinning = planPinning(cpu(2), shared, host([3, 1], [[0], [1], [2], [3]]), NODE);
    assert.deepEqual(pinning, { vcpus: [1, 3], emulator: [1, 3] });
  });

  it("puts the guest's threads of one core on the node's threads of one core", () => {
    const pinning = planPinning(cpu(2, 2), shared, host([1, 2, 5, 6], FOUR_CORES), NODE);
    assert.deepEqual(pinning.vcpus, [1, 5, 2, 6]);
  });

  it("isolates the emulator on the CPU that no whole core needs", () => {
    const pinning = planPinning(cpu(1, 2), isolated, host([1, 2, 6], FOUR_CORES), NODE);
    assert.deepEqual(pinning, { vcpus: [2, 6], emulator: [1] });
  });

  it("is refused where the CPUs are not as many as asked for, or all of the node's, by the node's name", () => {
    const rows: readonly (readonly [readonly number[], LaunchCpu])[] = [
      [[0, 1, 2], cpu(2)],
      [[1], cpu(2)],
      [[0, 1, 2, 3, 4, 5, 6, 7], cpu(8)],
    ];
    for (const [allowed, wanted] of rows) {
      assert.throws(() => planPinning(wanted, shared, host(allowed, FOUR_CORES), NODE), {
        code: "CpusNotDedicated",
        message: /node node-1 .*cpuManagerPolicy there to static/,
      });
    }
    assert.throws(
      () => planPinning(cpu(1), isolated, host([1], FOUR_CORES), NODE),
      /asks for 2 CPUs of its own/,
    );
  });

  it("never gives a CPU to two vCPUs, nor one that isn't the launcher's", () => {
    const nodes = fc
      .record({ coreCount: fc.integer({ min: 3, max: 8 }), perCore: fc.integer({ min: 1, max: 2 }) })
      .chain(({ coreCount, perCore }) => {
        const cores = Array.from({ length: coreCount }, (_, core) =>
          Array.from({ length: perCore }, (_, thread) => core + thread * coreCount),
        );
        return fc.record({
          cores: fc.constant(cores),
          allowed: fc.subarray(cores.flat(), { minLength: 2, maxLength: cores.flat().length - 1 }),
          isolateEmulatorThread: fc.boolean(),
        });
      });
    fc.assert(
      fc.property(nodes, ({ allowed, cores, isolateEmulatorThread }) => {
        const count = allowed.length - (isolateEmulatorThread ? 1 : 0);
        const { emulator, vcpus } = planPinning(
          cpu(count),
          { isolateEmulatorThread },
          host(allowed, cores),
          NODE,
        );
        assert.equal(new Set(vcpus).size, count);
        assert.deepEqual(new Set([...vcpus, ...emulator]), new Set(allowed));
        if (isolateEmulatorThread) assert(!vcpus.includes(emulator[0] ?? -1));
      }),
    );
  });
});
