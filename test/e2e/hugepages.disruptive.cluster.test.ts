/** A guest of huge pages on a node that gets some. It restarts the kubelet, which counts them when it starts. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { DEVICE_LAUNCHER, LAUNCHER_CONTAINER } from "../../api/names.ts";
import type { Client } from "../../kube/client.ts";
import { NODES } from "../../kube/resources.ts";
import { parseQuantity } from "../../lib/quantity.ts";
import { connectCluster } from "../harness/cluster.ts";
import { condition, Guests } from "../harness/guest.ts";
import { restartKubelet } from "../harness/kubelet.ts";
import { processesOf } from "../harness/node.ts";

const NR_HUGEPAGES = "/proc/sys/vm/nr_hugepages";
const RESOURCE = "hugepages-2Mi";
const GUEST_MIB = 128;
/** Some more than the guest's. */
const PAGES = 80;
const START_MS = 90_000;

describe("a guest of huge pages", { concurrency: 1 }, () => {
  /** The guests' ends before the node is as it was. */
  let client: Client;
  let guests: Guests;
  let pagesBefore: string;
  let node: string;

  before(async () => {
    pagesBefore = readFileSync(NR_HUGEPAGES, "utf8").trim();
    client = await connectCluster();
    guests = await Guests.open("hugepages");
    const { items } = await client.resource(NODES).list();
    node = items.find(({ status }) => status?.capacity?.[DEVICE_LAUNCHER] !== undefined)?.metadata.name ?? "";
  });
  after(async () => {
    try {
      await guests.close();
    } finally {
      // Or the files after this one had so much less memory.
      await reserve(pagesBefore);
      await client.close();
    }
  });

  /** Resolves when the node offers them, and launchers again. */
  async function reserve(pages: string): Promise<void> {
    writeFileSync(NR_HUGEPAGES, pages);
    const had = readFileSync(NR_HUGEPAGES, "utf8").trim();
    assert.equal(had, pages, `the kernel found only ${had} huge pages of ${pages}`);
    await restartKubelet(client, {
      node,
      what: `${pages} huge pages`,
      when: ({ allocatable }) =>
        parseQuantity(allocatable?.[RESOURCE] ?? "0") === Number(pages) * 2 * 1024 * 1024,
    });
  }

  it("is ErrorUnschedulable with the scheduler's words where no node has any", async () => {
    const memory = { guest: `${GUEST_MIB}Mi`, hugepages: { pageSize: "2Mi" } } as const;
    await guests.create("huge", { domain: { memory, resources: { limits: { memory: memory.guest } } } });
    const vm = await guests.untilStatus("huge", "ErrorUnschedulable", START_MS);
    assert.match(condition(vm, "PodScheduled")?.message ?? "", /Insufficient hugepages-2Mi/);
  });

  it("starts when a node has got them, and has all of its memory in them", async () => {
    await reserve(String(PAGES));
    const { pod } = await guests.answering("huge", START_MS);
    const qemu = processesOf(pod.metadata.uid).find(({ program }) => program.startsWith("qemu-system"));
    // proc_pid_status(5)
    const [, kib] =
      /^HugetlbPages:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${qemu?.pid}/status`, "utf8")) ?? [];
    assert.equal(Number(kib), GUEST_MIB * 1024);
    const { resources } = pod.spec.containers.find(({ name }) => name === LAUNCHER_CONTAINER) ?? {};
    const { memoryOverhead } =
      (
        await guests.untilVmi("huge", "its overhead", START_MS, ({ status }) => {
          return status?.memory?.memoryOverhead !== undefined;
        })
      ).status?.memory ?? {};
    for (const amounts of [resources?.requests, resources?.limits]) {
      assert.equal(amounts?.[RESOURCE], `${GUEST_MIB}Mi`);
      assert.equal(amounts?.["memory"], memoryOverhead);
    }
    await guests.remove("huge");
  });
});
