/** What launcher pods request and may have at most, held against what real ones use with a guest that uses all it has. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { LAUNCHER_CONTAINER } from "../../api/names.ts";
import { mappingsOf, podProcesses } from "../../bench/pod-processes.ts";
import { privateDirtyKiB, splitQemu } from "../../bench/smaps.ts";
import type { Pod } from "../../kube/resources.ts";
import { parseQuantity } from "../../lib/quantity.ts";
import { type Changes, Guests } from "../harness/guest.ts";
import { untilMeasured } from "../harness/metrics.ts";

const GUEST_MIB = 128;
const MIB = 1024 * 1024;
const START_MS = 90_000;
/** Of the overhead that is counted, so much stays unused. */
const MARGIN = 0.05;

const disk = (name: string) => ({ name, disk: { bus: "virtio" as const }, dedicatedIOThread: true });
const volume = (name: string) => ({ name, emptyDisk: { capacity: "64Mi" } });

const SHAPES: Readonly<Record<string, Changes>> = {
  plain: {},
  loaded: {
    spec: { volumes: [volume("a"), volume("b")] },
    domain: {
      cpu: { cores: 2 },
      devices: {
        rng: {},
        disks: [disk("a"), disk("b")],
        interfaces: [{ name: "default", bridge: {} }],
      },
    },
  },
};

describe("the memory of a launcher pod", { concurrency: 1 }, () => {
  let guests: Guests;

  before(async () => {
    guests = await Guests.open("memory");
  });
  after(() => guests.close());

  for (const [name, shape] of Object.entries(SHAPES)) {
    it(`of a ${name} machine stays below what is counted for it, with a guest that has used all of its own`, async () => {
      const memory = `${GUEST_MIB}Mi`;
      // A limit as large as the guest: whatever the launcher needs beside it has to be in the overhead.
      const domain = { ...shape.domain, memory: { guest: memory }, resources: { limits: { memory } } };
      await guests.create(name, { ...shape, domain });
      const { pod } = await guests.answering(name, START_MS);
      await fill(name);
      const { status } = await guests.untilVmi(name, "its overhead", START_MS, (vmi) => {
        return vmi.status?.memory?.memoryOverhead !== undefined;
      });
      const counted = parseQuantity(status?.memory?.memoryOverhead ?? 0) / MIB;
      const { guestMiB, overheadMiB } = usedBy(pod);
      assert(guestMiB > 0.7 * GUEST_MIB, `the guest has used ${guestMiB} MiB only`);
      assert(
        overheadMiB <= counted * (1 - MARGIN),
        `${overheadMiB} MiB beside the guest of ${counted} counted`,
      );
      assert.equal(Math.round(limitOf(pod) / MIB - counted), GUEST_MIB);
      const { containerStatuses } = (await guests.pod(name)).status ?? {};
      assert.deepEqual(
        containerStatuses?.map(({ restartCount, state }) => [restartCount, state?.running !== undefined]),
        [[0, true]],
      );
      await guests.remove(name, 60_000);
    });
  }

  /** Has the guest write zeros into its file system, which is its memory, until there is no room. */
  async function fill(name: string): Promise<void> {
    await guests.type(name, "cat /dev/urandom > /fill; echo full-$((6 * 7))", /full-42/);
    await untilMeasured(
      guests.client,
      "kubevirt_vmi_memory_usable_bytes",
      { namespace: guests.namespace, name },
      (usable) => usable !== undefined && usable < 40 * MIB,
      START_MS,
    );
  }
});

function usedBy(pod: Pod): { readonly guestMiB: number; readonly overheadMiB: number } {
  let [guestKiB, overheadKiB] = [0, 0];
  for (const process of podProcesses(pod.metadata.uid)) {
    const mappings = mappingsOf(process);
    if (!process.program.startsWith("qemu-system")) overheadKiB += privateDirtyKiB(mappings);
    else {
      const { guestRamKiB, restKiB, tcgCacheKiB } = splitQemu(mappings, GUEST_MIB);
      guestKiB = guestRamKiB;
      overheadKiB += restKiB + tcgCacheKiB;
    }
  }
  return { guestMiB: guestKiB / 1024, overheadMiB: overheadKiB / 1024 };
}

function limitOf({ spec }: Pod): number {
  const container = spec.containers.find(({ name }) => name === LAUNCHER_CONTAINER);
  return parseQuantity(container?.resources?.limits?.["memory"] ?? 0);
}
