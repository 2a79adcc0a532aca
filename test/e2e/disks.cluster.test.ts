/** Disks of real guests: booted from, written, read back, and lost with their pod as they should be. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parse } from "yaml";
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import type { Draft } from "../../kube/objects.ts";
import { PODS } from "../../kube/resources.ts";
import { VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import { ROOT } from "../harness/cluster.ts";
import { ask, Guests } from "../harness/guest.ts";

const MIB = 1024 * 1024;
const GUEST_IMAGE = "localhost/virtpod/virtpod-guest-tiny:dev";

interface GuestDisk {
  readonly name: string;
  readonly sizeBytes: number;
  readonly readonly: boolean;
  readonly serial: string;
}

function example(file: string, name: string): Draft<VirtualMachine> {
  const manifest = parse(readFileSync(join(ROOT, "examples", file), "utf8")) as Draft<VirtualMachine>;
  return { ...manifest, metadata: { name } };
}

const write = (address: string, dev: string, data: string) =>
  ask<{ data: string | null }>(address, `/disk-write?dev=${dev}&data=${data}`);
const read = async (address: string, dev: string) =>
  (await ask<{ data: string | null }>(address, `/disk-read?dev=${dev}`)).data;

describe("disks", { concurrency: 2 }, () => {
  let guests: Guests;
  before(async () => {
    guests = await Guests.open("disks");
  });
  after(() => guests.close());

  const create = (machine: Draft<VirtualMachine>) =>
    guests.resource(VIRTUAL_MACHINES).create(machine, { fieldValidation: "Strict" });

  it("a guest boots from a containerDisk by its BIOS, and what it writes is lost with its pod", async () => {
    const machine = example("vm-container-disk.yaml", "boots");
    const { template } = machine.spec;
    const domain = { ...template.spec.domain, memory: { guest: "128Mi" } };
    const volumes = [{ name: "root", containerDisk: { image: GUEST_IMAGE } }];
    await create({
      ...machine,
      spec: { ...machine.spec, template: { ...template, spec: { ...template.spec, domain, volumes } } },
    } as Draft<VirtualMachine>);
    const first = await guests.answering("boots", 120_000);
    const disks = await ask<GuestDisk[]>(first.address, "/disks");
    assert.deepEqual(
      disks.map(({ name, readonly }) => ({ name, readonly })),
      [{ name: "vda", readonly: false }],
    );
    await write(first.address, "vda", "overlaid");
    assert.equal(await read(first.address, "vda"), "overlaid");

    await guests.resource(PODS).delete(first.pod.metadata.name);
    await guests.untilVmi(
      "boots",
      "another incarnation",
      60_000,
      ({ metadata, status }) =>
        metadata.uid !== first.pod.metadata.labels?.["kubevirt.io/created-by"] && status?.phase === "Running",
    );
    const second = await guests.answering("boots", 120_000);
    assert.notEqual(second.pod.metadata.uid, first.pod.metadata.uid);
    assert.notEqual(await read(second.address, "vda"), "overlaid");
    await guests.remove("boots");
  });

  it("emptyDisks on disk and in memory have their capacity and keep what the guest writes", async () => {
    await create(example("vm-empty-disk.yaml", "scratch"));
    const { pod, address } = await guests.answering("scratch");
    const disks = await ask<GuestDisk[]>(address, "/disks");
    const sizes = Object.fromEntries(disks.map(({ serial, sizeBytes }) => [serial, sizeBytes]));
    assert.deepEqual(sizes, { data: 1024 * MIB, fast: 32 * MIB });
    for (const { name, serial } of disks) {
      assert.equal(await read(address, name), null);
      await write(address, name, `${serial}-text`);
    }
    for (const { name, serial } of disks) assert.equal(await read(address, name), `${serial}-text`);

    const media = pod.spec.volumes
      ?.filter(({ name }) => name.startsWith("volume-"))
      .map(({ emptyDir }) => emptyDir?.medium);
    assert.deepEqual(media, [undefined, "Memory"]);
    await guests.remove("scratch");
  });
});
